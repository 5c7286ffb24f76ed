-- nginx: NGINX access logs: combined (also with a host before it or more fields after it, as ingress-nginx writes),
-- JSON (log_format … escape=json), and the formats of Nginx Proxy Manager and NPMplus, which begin with the time.
-- Fields: JSON keys are named after NGINX's variables, or shorter: time, timestamp, @timestamp, method, uri, path,
-- client_ip.
-- Units: the time is the end of the request (1 s; msec: 1 ms); request_time in s; sizes in bytes: request_length with
--   headers, body_bytes_sent (as in combined) without, bytes_sent with headers and preferred.
-- Id: the JSON key request_id, which must be $request_id: NGINX generates it. ingress-nginx's req_id is not safe, since
--   a client may set it by X-Request-ID: derived, as for combined, which has none.
-- Identity: api_key_id (api_key) > jwt_claim_iss (oidc, with jwt_claim_azp, jwt_claim_client_id or jwt_claim_sub) >
--   remote_user (a claim, see docs/formats.md: the consumer if the source says trust_user, and not with a status that NGINX
--   also answers before it checks users).
-- Field msec                time by any_time_us
-- Field time_iso8601        time by any_time_us
-- Field time_local          time by any_time_us
-- Field time                time by any_time_us
-- Field timestamp           time by any_time_us
-- Field @timestamp          time by any_time_us
-- Field request_id          id
-- Field req_id              id
-- Field remote_addr         address
-- Field client_ip           address
-- Field remote_user
-- Field api_key_id
-- Field jwt_claim_iss
-- Field jwt_claim_azp
-- Field jwt_claim_client_id
-- Field jwt_claim_sub
-- Field request             request
-- Field request_method
-- Field method
-- Field request_uri         unread
-- Field uri                 unread
-- Field path                unread
-- Field status
-- Field request_length      request_bytes
-- Field bytes_sent          response_bytes
-- Field body_bytes_sent     response_bytes
-- Field request_time        latency by ms_of_seconds
-- Field proxy_upstream_name
-- Field proxy_host
-- Field host                unread
-- Field http_host           unread
-- Field server_name         unread
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
        CASE WHEN NOT starts_with(line, '{') AND NOT starts_with(line, '[') THEN quote_parts(line) END AS q,
        CASE
            WHEN NOT starts_with(line, '[') THEN NULL
            WHEN contains(line, ' [Client ') THEN regexp_extract(
                line,
                '^\[([^\]]+)\] (?:.* )?(\d{3}) - (\S+) \S+ (\S+) "(.*?)" \[Client ([^\]]+)\] \[Length (\d+|-)\] ',
                ['time', 'status', 'method', 'host', 'target', 'client', 'bytes']
            )
            ELSE regexp_extract(
                line,
                '^\[([^\]]+)\] (\S+) (\S+) ([\d.]+|-) "(.*?)" (\d{3}|-) (?:\d+|-) (\d+|-) ',
                ['time', 'host', 'client', 'seconds', 'request', 'status', 'bytes']
            )
        END AS t
    FROM framed
),

requested AS (
    SELECT position, line, r, t, whole_request(q) AS q
    FROM cut
),

read AS (
    SELECT
        position,
        line,
        r,
        t,
        clf_head(q[1]) AS head,
        request_line(coalesce(q[2], r.request, t.request)) AS request,
        clf_result(q[3]) AS result,
        -- ingress-nginx: length of the request, seconds, [upstream] [alternative] …, id.
        CASE WHEN contains(q[7], '] [') THEN regexp_extract(
            q[7], '^ (\d+) ([\d.]+) \[([^\]]*)\] \[[^\]]*\] .* (\S+)\s*$', ['length', 'seconds', 'upstream', 'id']
        ) END AS ingress
    FROM requested
),

named AS (
    SELECT
        position,
        line,
        CASE
            WHEN coalesce(r.status, r.request, r.request_method, r.method) IS NOT NULL THEN NULL
            WHEN r IS NOT NULL THEN 'NOT_A_REQUEST'
            WHEN t.time != '' OR (head.time != '' AND result.status != '') THEN NULL
            WHEN regexp_matches(line, '^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] ') THEN 'NOT_A_REQUEST'
            ELSE no_object(line)
        END AS format_reason,
        coalesce(r.request_id, r.req_id, ingress.id) AS id,
        present(r.request_id) IS NOT NULL AS id_is_safe,
        coalesce(
            head.time, t.time, present(r.msec), r.time_iso8601, r.time_local, r.time, r.timestamp, r."@timestamp"
        ) AS time,
        coalesce(present(request.method), r.request_method, r.method, t.method) AS method,
        coalesce(present(unescaped(request.target)), r.request_uri, r.uri, r.path, t.target) AS target,
        coalesce(result.status, r.status, t.status) AS status,
        coalesce(ingress.length, r.request_length) AS request_bytes,
        coalesce(result.bytes, r.bytes_sent, r.body_bytes_sent, t.bytes) AS response_bytes,
        coalesce(ingress.seconds, r.request_time, t.seconds) AS seconds,
        coalesce(head.client, r.remote_addr, r.client_ip, t.client) AS client,
        present(r.api_key_id) AS api_key,
        present(r.jwt_claim_iss) AS issuer,
        coalesce(present(r.jwt_claim_azp), present(r.jwt_claim_client_id), present(r.jwt_claim_sub)) AS issuer_client,
        claimed_user(coalesce(head.user, r.remote_user), coalesce(result.status, r.status)) AS claimed,
        coalesce(ingress.upstream, r.proxy_upstream_name, r.proxy_host) AS service,
        coalesce(
            target_host(request.method, present(request.target)), present(head.host), r.host, r.http_host, r.server_name, t.host
        ) AS host
    FROM read
)

SELECT
    position,
    0 AS item,
    line,
    format_reason,
    present(id) AS event_id,
    id_is_safe,
    present(time) AS time_text,
    any_time_us(time) AS time_us,
    present(method) AS method,
    target,
    NULL::VARCHAR AS route,
    present(status) AS status_text,
    present(request_bytes) AS request_bytes_text,
    present(response_bytes) AS response_bytes_text,
    ms_of_seconds(present(seconds)) AS latency_ms_text,
    present(client) AS client_ip_text,
    CASE
        WHEN api_key IS NOT NULL THEN 'api_key'
        WHEN issuer IS NOT NULL THEN 'oidc'
        WHEN claimed IS NOT NULL THEN 'claimed'
        ELSE 'none'
    END AS identity_kind,
    coalesce(api_key, issuer, claimed) AS identity_value,
    CASE WHEN api_key IS NULL AND issuer IS NOT NULL THEN issuer_client END AS identity_client,
    present(service) AS service,
    present(host) AS host_text
FROM named
