-- caddy: Caddy 2 access logs, one JSON object per line.
-- Fields: records of a logger below http.log.access with the message "handled request". The server's other messages are
-- in
--   the same stream and are not requests.
-- Units: ts in s since the epoch (the end of the request; also as RFC 3339 with a zone); duration in s as a number;
-- bytes_read
--   and size in bytes of the bodies, without headers. Status 0: nothing was written.
-- Id: uuid, if a site adds it (log_append uuid {http.request.uuid}): Caddy generates it. Otherwise derived.
-- Varying: time_cut ts, id uuid, latency_s duration, request_bytes bytes_read, response_bytes size, unread request/uri, unread request/host
-- Varying: address request/client_ip, address request/remote_ip, address request/remote_addr
-- Identity: user_id (consumer; not with status 401).
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH parsed AS (
    SELECT
        position,
        line,
        -- json_valid first: from_json under TRY processes 2,048 lines row by row if one of them is broken.
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "logger": "VARCHAR", "msg": "VARCHAR", "ts": "VARCHAR", "duration": "VARCHAR", "size": "VARCHAR",
            "bytes_read": "VARCHAR", "status": "VARCHAR", "user_id": "VARCHAR", "uuid": "VARCHAR",
            "request": {
                "method": "VARCHAR", "uri": "VARCHAR", "host": "VARCHAR", "client_ip": "VARCHAR", "remote_ip": "VARCHAR",
                "remote_addr": "VARCHAR"
            }
        }') END AS r
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
    -- Decimals of ts beyond microseconds are noise of a double. They are truncated, so that no time moves forward.
    CASE
        WHEN contains(r.ts, ':') THEN iso_time_us(r.ts)
        WHEN contains(r.ts, '.') THEN epoch_number_us(left(r.ts, strpos(r.ts, '.') + 6))
        ELSE epoch_number_us(r.ts)
    END AS time_us,
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
