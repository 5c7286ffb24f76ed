-- azure_apim: Azure API Management, category GatewayLogs of its diagnostic settings: one JSON object a line, as a storage
-- account holds them, or {"records": […]}, as an event hub sends them.
-- Fields: time, correlationId, durationMs, callerIpAddress, properties.
-- Units: time in UTC, 100 ns, floored to us; durationMs in ms; requestSize and responseSize in bytes. callerIpAddress may be a
--   gateway that stands in front.
-- Id: correlationId, made by API Management for each request.
-- Varying: id correlationId, time time, latency_ms durationMs, address callerIpAddress, unread properties/url
-- Varying: request_bytes properties/requestSize, response_bytes properties/responseSize
-- Identity: properties.apimSubscriptionId (api_key); an API that is open to all has none.
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, line
    FROM lines
    WHERE starts_with(line, '{"') AND NOT starts_with(line, '{"records"')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (
        SELECT position, records_in(line, '$.records[*]') AS records
        FROM lines
        WHERE NOT (starts_with(line, '{"') AND NOT starts_with(line, '{"records"'))
    )
),

parsed AS (
    SELECT
        position,
        item,
        line,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "time": "VARCHAR", "category": "VARCHAR", "correlationId": "VARCHAR", "durationMs": "VARCHAR", "callerIpAddress": "VARCHAR",
            "records": "VARCHAR",
            "properties": {
                "method": "VARCHAR", "url": "VARCHAR", "responseCode": "VARCHAR", "requestSize": "VARCHAR",
                "responseSize": "VARCHAR", "apiId": "VARCHAR", "operationId": "VARCHAR", "apimSubscriptionId": "VARCHAR"
            }
        }') END AS r
    FROM framed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN r.properties IS NULL OR r.category != 'GatewayLogs' THEN 'NOT_A_REQUEST'
    END AS format_reason,
    nullif(r.correlationId, '') AS event_id,
    TRUE AS id_is_safe,
    r.time AS time_text,
    iso_time_us(r.time) AS time_us,
    nullif(r.properties.method, '') AS method,
    r.properties.url AS target,
    nullif(r.properties.operationId, '') AS route,
    r.properties.responseCode AS status_text,
    r.properties.requestSize AS request_bytes_text,
    r.properties.responseSize AS response_bytes_text,
    r.durationMs AS latency_ms_text,
    nullif(r.callerIpAddress, '') AS client_ip_text,
    CASE WHEN r.properties.apimSubscriptionId = '' OR r.properties.apimSubscriptionId IS NULL THEN 'none' ELSE 'api_key' END AS identity_kind,
    nullif(r.properties.apimSubscriptionId, '') AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(r.properties.apiId, '') AS service,
    authority_of(r.properties.url) AS host_text
FROM parsed
