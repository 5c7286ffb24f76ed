-- azure_appgw: Azure Application Gateway (v1 and v2) and Front Door access logs of diagnostic settings: one JSON object a line,
-- or {"records": […]}.
-- Fields: time (also timeStamp or timestamp), category, ruleName, backendPoolName, properties.
-- Units: timeTaken in ms where the instance is ApplicationGatewayRole_IN_<n> (v1), else in s (v2, Front Door); bytes with headers,
--   as numbers or strings.
-- Id: transactionId (v2) or trackingReference (Front Door), made by the gateway; v1 has none: derived.
-- Varying: time time, time timeStamp, time timestamp, id properties/transactionId, id properties/trackingReference, unread properties/requestUri
-- Varying: unread properties/originalHost, unread properties/host, unread properties/hostName
-- Varying: request_bytes properties/receivedBytes, request_bytes properties/requestBytes, response_bytes properties/sentBytes
-- Varying: response_bytes properties/responseBytes, latency_s properties/timeTaken, address properties/clientIP, address properties/clientIp
-- Identity: none; the gateway logs none, so nobody can be billed from this log alone: meter at the API gateway behind it.
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
        -- Names that differ in case alone cannot be read together: clientIp, timeStamp and timestamp are looked up below.
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "time": "VARCHAR", "category": "VARCHAR", "ruleName": "VARCHAR", "backendPoolName": "VARCHAR",
            "properties": {
                "instanceId": "VARCHAR", "clientIP": "VARCHAR", "httpMethod": "VARCHAR", "requestUri": "VARCHAR",
                "httpStatus": "VARCHAR", "receivedBytes": "VARCHAR", "sentBytes": "VARCHAR", "timeTaken": "VARCHAR",
                "transactionId": "VARCHAR", "originalHost": "VARCHAR", "host": "VARCHAR",
                "httpStatusCode": "VARCHAR", "requestBytes": "VARCHAR", "responseBytes": "VARCHAR",
                "trackingReference": "VARCHAR", "routingRuleName": "VARCHAR", "endpoint": "VARCHAR", "hostName": "VARCHAR"
            }
        }') END AS r
    FROM framed
),

timed AS (
    SELECT
        position,
        item,
        line,
        r,
        r.properties AS p,
        coalesce(
            r.time,
            CASE WHEN r IS NOT NULL THEN coalesce(json_extract_string(line, '$.timeStamp'), json_extract_string(line, '$.timestamp')) END
        ) AS time_text
    FROM parsed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN p IS NULL OR lower(r.category) NOT IN ('applicationgatewayaccesslog', 'frontdooraccesslog') THEN 'NOT_A_REQUEST'
    END AS format_reason,
    coalesce(nullif(p.transactionId, ''), nullif(p.trackingReference, '')) AS event_id,
    TRUE AS id_is_safe,
    time_text,
    iso_time_us(time_text) AS time_us,
    nullif(p.httpMethod, '') AS method,
    p.requestUri AS target,
    coalesce(nullif(r.ruleName, ''), nullif(p.routingRuleName, '')) AS route,
    coalesce(p.httpStatus, p.httpStatusCode) AS status_text,
    coalesce(p.receivedBytes, p.requestBytes) AS request_bytes_text,
    coalesce(p.sentBytes, p.responseBytes) AS response_bytes_text,
    CASE WHEN starts_with(p.instanceId, 'ApplicationGatewayRole_IN_') THEN p.timeTaken ELSE ms_of_seconds(p.timeTaken) END AS latency_ms_text,
    nullif(coalesce(p.clientIP, CASE WHEN p IS NOT NULL THEN json_extract_string(line, '$.properties.clientIp') END), '') AS client_ip_text,
    'none' AS identity_kind,
    NULL::VARCHAR AS identity_value,
    NULL::VARCHAR AS identity_client,
    coalesce(nullif(r.backendPoolName, ''), nullif(p.endpoint, '')) AS service,
    coalesce(nullif(p.originalHost, ''), nullif(p.host, ''), nullif(p.hostName, '')) AS host_text
FROM timed
