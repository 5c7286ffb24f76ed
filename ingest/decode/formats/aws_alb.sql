-- aws_alb: access logs of AWS Application Load Balancers, and of classic load balancers (the same without the leading
-- type).
-- Fields: [type,] time, load balancer, client:port, target:port, three processing times, load balancer's and target's
-- status,
--   received and sent bytes, "request". Later fields are ignored.
-- Units: time when the response was sent, UTC, 1 us; latency is the sum of the three times (s), absent if one is -1;
--   bytes with headers, of a WebSocket those of the whole connection.
-- Id: none, derived. trace_id comes from the client, conn_trace_id identifies a connection.
-- Identity: none. The load balancer logs none, so this log alone cannot be billed: meter at the gateway behind it.
-- A connection of a TCP or SSL listener (classic) is not a request.
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH quoted AS (
    SELECT position, line, string_split(line, '"') AS parts
    FROM lines
),

fields AS (
    -- head: the fields from the time to the request, and an empty one
    SELECT
        position,
        line,
        CASE WHEN starts_with(parts[1], '2') THEN string_split(parts[1], ' ') ELSE string_split(parts[1], ' ')[2:] END AS head,
        -- A quote in a URL is part of it, and ends neither the request nor the URL.
        string_split(
            CASE WHEN len(parts) = 3 OR contains(parts[2], ' HTTP/') THEN parts[2] ELSE array_to_string(parts[2:], '"') END, ' '
        ) AS request,
        len(parts) >= 3 AS has_request
    FROM quoted
),

named AS (
    SELECT
        position,
        line,
        has_request AND len(head) = 12 AND starts_with(head[1], '2') AS is_whole,
        head[1] AS time_text,
        head[2] AS balancer,
        -- An IPv6 client may lack brackets: its port follows the last colon.
        regexp_extract(head[3], '^(.*):\d+$', 1) AS client,
        head[5:7] AS seconds,
        head[8] AS status_text,
        head[10] AS received,
        head[11] AS sent,
        request[1] AS method,
        CASE WHEN starts_with(request[3], 'HTTP/') THEN request[2] ELSE rtrim(request[2], '"') END AS url
    FROM fields
)

SELECT
    position,
    0 AS item,
    line,
    CASE
        WHEN NOT is_whole THEN CASE WHEN json_valid(line) THEN 'NOT_OBJECT' ELSE 'NOT_JSON' END
        WHEN method = '-' AND url = '-' AND status_text = '-' THEN 'NOT_A_REQUEST'
    END AS format_reason,
    NULL::VARCHAR AS event_id,
    FALSE AS id_is_safe,
    time_text,
    iso_time_us(time_text) AS time_us,
    present(method) AS method,
    url AS target,
    NULL::VARCHAR AS route,
    present(status_text) AS status_text,
    received AS request_bytes_text,
    sent AS response_bytes_text,
    summed_ms(seconds[1], seconds[2], seconds[3]) AS latency_ms_text,
    nullif(client, '') AS client_ip_text,
    'none' AS identity_kind,
    NULL::VARCHAR AS identity_value,
    NULL::VARCHAR AS identity_client,
    balancer AS service,
    authority_of(url) AS host_text
FROM named
