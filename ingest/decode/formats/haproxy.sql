-- haproxy: HAProxy's HTTP log (option httplog), with or without a syslog header, and its JSON (log-format "%{+json}o
-- …").
-- Fields: client:port [accept date] frontend backend/server TR/Tw/Tc/Tr/Ta status bytes … "request". JSON keys are
-- those of
--   HAProxy's own example: client_ip, request_date, frontend_name, backend_name, time_active, status_code, bytes_read,
--   request_line; also method, uri, host, bytes_uploaded, unique_id, api_key_id, consumer, iss with azp, client_id or
-- sub.
-- Units: a date without a zone is read as UTC, 1 ms; times in ms, -1 if a phase was not reached; bytes_read and
--   bytes_uploaded with headers. Status -1 (no response) is 0. "+" (option logasap) marks lower bounds: for billing,
--   log at the end of requests.
-- Id: unique_id, which must be %ID with a unique-id-format of HAProxy's own fields. The HTTP log has none: derived.
-- Identity: JSON only, api_key_id (api_key) > iss (oidc) > consumer.
-- Connections in TCP mode and failed handshakes are not requests.
-- Field client_ip      address
-- Field request_date   time by haproxy_time_us
-- Field frontend_name
-- Field backend_name
-- Field time_active    latency
-- Field status_code
-- Field bytes_read     response_bytes
-- Field bytes_uploaded request_bytes
-- Field request_line   request
-- Field method
-- Field uri            unread
-- Field host           unread
-- Field unique_id      id
-- Field api_key_id
-- Field consumer
-- Field iss
-- Field azp
-- Field client_id
-- Field sub
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT
        position,
        -- The headers of HAProxy's log targets: rfc5424; rfc3164 (also with an ISO date) and local, which lacks the host, both
        -- with or without a process id; short and priority (<6>); timed (<6> and a date); iso (a date); raw (none).
        CASE
            WHEN starts_with(line, '{') OR regexp_matches(line, '^[^<\s]+:\d+ \[') THEN line
            ELSE regexp_replace(
                line,
                '^(?:<\d+>)?(?:1 (?:\S+ ){5}(?:-|(?:\[[^\]]*\])+) |'
                || '(?:(?:\d{4}-\d\d-\d\dT\S+|[A-Z][a-z]{2} [ \d]\d [\d:]{8}) )?(?:(?:\S+ )?[A-Za-z_][^\s\[:]*(?:\[\d+\])?: )?)',
                ''
            )
        END AS line
    FROM (SELECT position, unwrapped(line) AS line FROM lines)
),

cut AS (
    SELECT
        position,
        line,
        fields(line) AS r,
        -- HAProxy escapes quotes between these.
        CASE WHEN NOT starts_with(line, '{') THEN string_split(line, '"') END AS q
    FROM framed
),

read AS (
    SELECT
        position,
        line,
        r,
        len(q) > 1 AS has_request,
        -- client:port, [date], frontend, backend/server, timers, status, bytes; only later headers may contain spaces.
        string_split(q[1], ' ') AS t,
        -- Syslog may truncate a line to 1,024 bytes: then the request lacks its protocol and its closing quote.
        request_line(without_newline(coalesce(q[2], r.request_line))) AS request
    FROM cut
),

named AS (
    SELECT
        position,
        line,
        CASE
            WHEN coalesce(r.request_line, r.method, r.status_code) IS NOT NULL THEN NULL
            WHEN r IS NOT NULL THEN 'NOT_A_REQUEST'
            WHEN has_request AND regexp_matches(t[2], '^\[\S+\]$') AND regexp_matches(t[5], '^(?:-?\d+/){4}\+?-?\d+$')
                AND regexp_matches(t[6], '^-?\d+$') AND regexp_matches(t[7], '^\+?\d+$') AND length(t[10]) = 4 THEN NULL
            -- A connection in TCP mode has three timers, a failed handshake has none.
            WHEN regexp_matches(t[2], '^\[\S+\]$') AND (contains(t[3], '/') OR regexp_matches(t[5], '^(?:-?\d+/){2}\+?-?\d+$'))
                THEN 'NOT_A_REQUEST'
            WHEN regexp_matches(line, '^(?:Proxy|Server|Backup Server|Stopping|Connect from|backend|frontend) ') THEN 'NOT_A_REQUEST'
            ELSE no_object(line)
        END AS format_reason,
        present(r.unique_id) AS event_id,
        coalesce(r.request_date, t[2][2:-2]) AS time,
        coalesce(nullif(present(r.method), '<BADREQ>'), present(request.method)) AS method,
        -- HAProxy writes a quote in a path as #22, and refuses a target with a fragment.
        coalesce(r.uri, present(replace(request.target, '#22', '"'))) AS target,
        coalesce(r.frontend_name, t[3]) AS frontend,
        coalesce(r.backend_name, split_part(t[4], '/', 1)) AS backend,
        coalesce(r.status_code, t[6]) AS status,
        coalesce(r.bytes_read, replace(t[7], '+', '')) AS response_bytes,
        coalesce(r.time_active, replace(split_part(t[5], '/', 5), '+', '')) AS active,
        coalesce(r.client_ip, left(t[1], length(t[1]) - length(split_part(t[1], ':', -1)) - 1)) AS client,
        r.bytes_uploaded AS request_bytes,
        coalesce(r.host, target_host(request.method, present(request.target))) AS host,
        present(r.api_key_id) AS api_key,
        present(r.iss) AS issuer,
        coalesce(present(r.azp), present(r.client_id), present(r.sub)) AS issuer_client,
        present(r.consumer) AS consumer
    FROM read
)

SELECT
    position,
    0 AS item,
    line,
    format_reason,
    event_id,
    TRUE AS id_is_safe,
    present(time) AS time_text,
    haproxy_time_us(time) AS time_us,
    method,
    target,
    present(rtrim(frontend, '~')) AS route,
    CASE WHEN status = '-1' THEN '0' ELSE present(status) END AS status_text,
    present(request_bytes) AS request_bytes_text,
    present(response_bytes) AS response_bytes_text,
    CASE WHEN active != '-1' THEN present(active) END AS latency_ms_text,
    present(client) AS client_ip_text,
    CASE
        WHEN api_key IS NOT NULL THEN 'api_key'
        WHEN issuer IS NOT NULL THEN 'oidc'
        WHEN consumer IS NOT NULL THEN 'consumer'
        ELSE 'none'
    END AS identity_kind,
    coalesce(api_key, issuer, consumer) AS identity_value,
    CASE WHEN api_key IS NULL AND issuer IS NOT NULL THEN issuer_client END AS identity_client,
    present(backend) AS service,
    present(host) AS host_text
FROM named
