-- apache: Apache HTTP Server access logs: common and combined, also with a virtual host before them (vhost_combined) or
-- more fields after them.
-- Fields: %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"; quotes and backslashes in quoted fields are escaped.
-- Units: the time is the start of the request (1 s); bytes of a response without headers, '-' for none. The log has
--   neither the size of a request nor its duration.
-- Id: none, always derived.
-- Identity: %u (a claim, see docs/formats.md: the consumer if the source says trust_user. Apache writes only users that it has
--   checked, except with status 401; but NGINX, which does not, writes the same text).
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH cut AS (
    SELECT position, line, quote_parts(line) AS q
    FROM (SELECT position, unwrapped(line) AS line FROM lines)
),

requested AS (
    SELECT position, line, whole_request(q) AS q
    FROM cut
),

read AS (
    SELECT
        position,
        line,
        clf_head(q[1]) AS head,
        request_line(q[2]) AS request,
        clf_result(q[3]) AS result
    FROM requested
)

SELECT
    position,
    0 AS item,
    line,
    CASE
        WHEN head.time != '' AND result.status != '' THEN NULL
        WHEN regexp_matches(line, '^\[[^\]]+\] \[[a-z0-9_]*:?[a-z0-9]+\] ') THEN 'NOT_A_REQUEST'
        ELSE no_object(line)
    END AS format_reason,
    NULL::VARCHAR AS event_id,
    FALSE AS id_is_safe,
    head.time AS time_text,
    clf_time_us(head.time) AS time_us,
    present(request.method) AS method,
    present(unescaped(request.target)) AS target,
    NULL::VARCHAR AS route,
    present(result.status) AS status_text,
    NULL::VARCHAR AS request_bytes_text,
    CASE WHEN result.bytes = '-' THEN '0' ELSE result.bytes END AS response_bytes_text,
    NULL::VARCHAR AS latency_ms_text,
    present(head.client) AS client_ip_text,
    CASE WHEN verified_user(head.user, result.status) IS NULL THEN 'none' ELSE 'claimed' END AS identity_kind,
    verified_user(head.user, result.status) AS identity_value,
    NULL::VARCHAR AS identity_client,
    NULL::VARCHAR AS service,
    coalesce(target_host(request.method, present(request.target)), present(head.host)) AS host_text
FROM read
