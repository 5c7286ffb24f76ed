-- caddy: Caddy 2 access logs, one JSON object per line.
-- Fields: records of a logger below http.log.access with the message "handled request". The server's other messages are
-- in
--   the same stream and are not requests.
-- Units: ts in s since the epoch (the end of the request; also as RFC 3339 with a zone); duration in s as a number;
--   bytes_read and size in bytes of the bodies, without headers. Status 0: nothing was written.
-- Id: uuid, if a site adds it (log_append uuid {http.request.uuid}): Caddy generates it. Otherwise derived.
-- Identity: user_id (consumer; not with status 401).
-- Field logger
-- Field msg
-- Field ts                  time by cut_time_us
-- Field duration            latency by ms_of_seconds
-- Field size                response_bytes
-- Field bytes_read          request_bytes
-- Field status
-- Field user_id
-- Field uuid                id
-- Field request/method
-- Field request/uri         unread
-- Field request/host        unread
-- Field request/client_ip   address
-- Field request/remote_ip   address
-- Field request/remote_addr address
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH parsed AS (
    SELECT
        position,
        line,
        fields(line) AS r
    FROM (SELECT position, unwrapped(line) AS line FROM lines)
)

SELECT
    position,
    0 AS item,
    line,
    CASE
        WHEN starts_with(r.logger, 'http.log.access') AND r.msg = 'handled request' AND r.request IS NOT NULL THEN NULL
        WHEN r IS NOT NULL THEN 'NOT_A_REQUEST'
        ELSE no_object(line)
    END AS format_reason,
    present(r.uuid) AS event_id,
    TRUE AS id_is_safe,
    present(r.ts) AS time_text,
    cut_time_us(r.ts) AS time_us,
    present(r.request.method) AS method,
    r.request.uri AS target,
    NULL::VARCHAR AS route,
    r.status AS status_text,
    r.bytes_read AS request_bytes_text,
    r.size AS response_bytes_text,
    ms_of_seconds(r.duration) AS latency_ms_text,
    present(coalesce(r.request.client_ip, r.request.remote_ip, r.request.remote_addr)) AS client_ip_text,
    CASE WHEN verified_user(r.user_id, r.status) IS NULL THEN 'none' ELSE 'consumer' END AS identity_kind,
    verified_user(r.user_id, r.status) AS identity_value,
    NULL::VARCHAR AS identity_client,
    NULL::VARCHAR AS service,
    present(r.request.host) AS host_text
FROM parsed
