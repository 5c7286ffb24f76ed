-- apisix: Apache APISIX logger plugins (kafka-logger, http-logger, syslog, file-logger …), one JSON object or one array
-- a line.
-- Fields: the default entry of APISIX 2 and 3. A custom log_format works if it keeps the names; it needs @timestamp (or
--   start_time). meta_format origin writes HTTP text without time, status and sizes, which is refused.
-- Units: start_time in ms since the epoch, @timestamp RFC 3339 with a zone; latency in ms (older: the sum of
--   apisix_latency and upstream_latency); sizes in bytes with headers.
-- Id: none, always derived: the request-id plugin accepts ids from clients.
-- Identity: consumer.username, in a custom log_format consumer_name (consumer); present only if a plugin has
--   authenticated the request.
-- Field start_time           time by epoch_number_us
-- Field @timestamp           time by iso_time_us
-- Field client_ip            address
-- Field route_id
-- Field service_id
-- Field latency              latency
-- Field apisix_latency       latency_part
-- Field upstream_latency     latency_part
-- Field request/uri          unread
-- Field status
-- Field request/method
-- Field request/headers/host unread
-- Field request/size         request_bytes
-- Field host                 unread
-- Field response/status
-- Field response/size        response_bytes
-- Field consumer/username
-- Field consumer_name
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, unwrapped(line) AS line
    FROM lines
    WHERE NOT starts_with(line, '[')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (SELECT position, records_in(line, '$[*]') AS records FROM lines WHERE starts_with(line, '['))
),

parsed AS (
    SELECT
        position,
        item,
        line,
        fields(line) AS r
    FROM framed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r.request IS NOT NULL OR r.route_id IS NOT NULL THEN NULL
        WHEN r IS NOT NULL THEN 'NOT_A_REQUEST'
        ELSE no_object(line)
    END AS format_reason,
    NULL::VARCHAR AS event_id,
    FALSE AS id_is_safe,
    coalesce(r.start_time, r."@timestamp") AS time_text,
    coalesce(epoch_number_us(r.start_time), iso_time_us(r."@timestamp")) AS time_us,
    present(r.request.method) AS method,
    r.request.uri AS target,
    present(r.route_id) AS route,
    present(coalesce(r.response.status, r.status)) AS status_text,
    r.request.size AS request_bytes_text,
    r.response.size AS response_bytes_text,
    coalesce(
        r.latency,
        (TRY_CAST(r.apisix_latency AS DECIMAL(18, 6)) + TRY_CAST(r.upstream_latency AS DECIMAL(18, 6)))::VARCHAR
    ) AS latency_ms_text,
    present(r.client_ip) AS client_ip_text,
    CASE WHEN present(coalesce(r.consumer.username, r.consumer_name)) IS NULL THEN 'none' ELSE 'consumer' END AS identity_kind,
    present(coalesce(r.consumer.username, r.consumer_name)) AS identity_value,
    NULL::VARCHAR AS identity_client,
    present(r.service_id) AS service,
    coalesce(r.request.headers.host, r.host) AS host_text
FROM parsed
