-- traefik: Traefik access logs, CLF (the default) and JSON.
-- Fields: CLF is combined with four more fields: number of the request, "router", "server URL", duration; JSON with the
-- names
--   in the reference of Traefik 2 and 3.
-- Units: StartUTC in ns, CLF 1 s; Duration in ns, CLF in ms; bodies in bytes, without headers; CLF has no request size.
-- Id: none, always derived: RequestCount restarts with each process.
-- Identity: ClientUsername (a claim, see docs/formats.md: the consumer if the source says trust_user, and not with a status
--   that Traefik also answers before it checks users. Without basicAuth or digestAuth it is the user in a request's URL).
-- Field StartUTC              time by iso_or_clf_time_us
-- Field Duration              latency by ms_of_nanoseconds
-- Field RequestMethod
-- Field RequestPath           unread
-- Field RequestHost           unread
-- Field RequestContentSize    request_bytes
-- Field DownstreamStatus
-- Field DownstreamContentSize response_bytes
-- Field RouterName
-- Field ServiceName
-- Field ClientHost            address
-- Field ClientUsername
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, unwrapped(line) AS line
    FROM lines
),

cut AS (
    SELECT
        position,
        line,
        fields(line) AS r,
        CASE WHEN NOT starts_with(line, '{') THEN quote_parts(line) END AS q
    FROM framed
),

requested AS (
    SELECT position, line, r, whole_request(q) AS q
    FROM cut
),

read AS (
    SELECT
        position,
        line,
        r,
        clf_head(q[1]) AS head,
        request_line(q[2]) AS request,
        -- Traefik does not escape quotes in a path, but in later fields: without a protocol, the result is read from the end.
        clf_result(CASE WHEN len(q) >= 11 AND NOT contains(q[2], ' HTTP/') THEN q[-9] ELSE q[3] END) AS result,
        CASE WHEN len(q) >= 11 AND regexp_matches(q[-1], '^ \d+ms\s*$') THEN q[-4] END AS router,
        CASE WHEN len(q) >= 11 THEN nullif(regexp_extract(q[-1], '^ (\d+)ms\s*$', 1), '') END AS milliseconds
    FROM requested
),

named AS (
    SELECT
        position,
        line,
        CASE
            WHEN coalesce(r.RequestMethod, r.DownstreamStatus) IS NOT NULL THEN NULL
            WHEN r IS NOT NULL THEN 'NOT_A_REQUEST'
            WHEN head.time != '' AND result.status != '' THEN NULL
            ELSE no_object(line)
        END AS format_reason,
        coalesce(r.StartUTC, head.time) AS time,
        present(coalesce(r.RequestMethod, request.method)) AS method,
        present(coalesce(r.RequestPath, unescaped(request.target))) AS target,
        coalesce(r.RouterName, router) AS router,
        coalesce(r.DownstreamStatus, result.status) AS status,
        coalesce(r.DownstreamContentSize, result.bytes) AS response_bytes,
        coalesce(ms_of_nanoseconds(r.Duration), milliseconds) AS milliseconds,
        -- In a forwarded list the client is first.
        split_part(coalesce(r.ClientHost, head.client), ',', 1) AS client,
        claimed_user(coalesce(r.ClientUsername, head.user), coalesce(r.DownstreamStatus, result.status)) AS claimed,
        r.RequestContentSize AS request_bytes,
        r.ServiceName AS service,
        coalesce(r.RequestHost, target_host(request.method, present(request.target)), head.host) AS host
    FROM read
)

SELECT
    position,
    0 AS item,
    line,
    format_reason,
    NULL::VARCHAR AS event_id,
    FALSE AS id_is_safe,
    present(time) AS time_text,
    iso_or_clf_time_us(time) AS time_us,
    method,
    target,
    present(router) AS route,
    present(status) AS status_text,
    request_bytes AS request_bytes_text,
    present(response_bytes) AS response_bytes_text,
    milliseconds AS latency_ms_text,
    present(client) AS client_ip_text,
    CASE WHEN claimed IS NULL THEN 'none' ELSE 'claimed' END AS identity_kind,
    claimed AS identity_value,
    NULL::VARCHAR AS identity_client,
    present(service) AS service,
    present(host) AS host_text
FROM named
