-- gcp_lb: Google Cloud HTTP(S) load balancers, their Cloud Logging entries (LogEntry): one a line, as a sink writes them, or
-- an array, as `gcloud logging read --format=json` writes it.
-- Fields: httpRequest, resource.labels, insertId, timestamp. An entry of another resource, or without a request, is none.
-- Units: timestamp in ns, floored to us; one without a zone, as data warehouses export it, is UTC; latency in s ("0.005192s");
--   sizes in bytes with headers, as numbers or strings. The logging sample rate of a backend must be 1, or requests are missing.
-- Id: insertId, made by Google, unique within a log.
-- Varying: id insertId, time timestamp, unread httpRequest/requestUrl, request_bytes httpRequest/requestSize
-- Varying: response_bytes httpRequest/responseSize, address httpRequest/remoteIp, latency_s httpRequest/latency
-- Identity: none; the load balancer logs none, so nobody can be billed from this log alone: meter at the gateway behind it.
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, line
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
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "insertId": "VARCHAR", "timestamp": "VARCHAR",
            "httpRequest": {
                "requestMethod": "VARCHAR", "requestUrl": "VARCHAR", "requestSize": "VARCHAR", "status": "VARCHAR",
                "responseSize": "VARCHAR", "remoteIp": "VARCHAR", "latency": "VARCHAR"
            },
            "resource": {
                "type": "VARCHAR",
                "labels": {"backend_service_name": "VARCHAR", "backend_target_name": "VARCHAR", "matched_url_path_rule": "VARCHAR"}
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
        WHEN r.httpRequest IS NULL THEN 'NOT_A_REQUEST'
        WHEN r.resource.type != 'http_load_balancer' AND NOT suffix(r.resource.type, '_lb_rule') THEN 'NOT_A_REQUEST'
    END AS format_reason,
    nullif(r.insertId, '') AS event_id,
    TRUE AS id_is_safe,
    r.timestamp AS time_text,
    coalesce(iso_time_us(r.timestamp), iso_time_us(r.timestamp || 'Z')) AS time_us,
    nullif(r.httpRequest.requestMethod, '') AS method,
    r.httpRequest.requestUrl AS target,
    nullif(r.resource.labels.matched_url_path_rule, '') AS route,
    r.httpRequest.status AS status_text,
    r.httpRequest.requestSize AS request_bytes_text,
    r.httpRequest.responseSize AS response_bytes_text,
    ms_of_seconds(rtrim(r.httpRequest.latency, 's')) AS latency_ms_text,
    r.httpRequest.remoteIp AS client_ip_text,
    'none' AS identity_kind,
    NULL::VARCHAR AS identity_value,
    NULL::VARCHAR AS identity_client,
    coalesce(nullif(r.resource.labels.backend_service_name, ''), nullif(r.resource.labels.backend_target_name, '')) AS service,
    authority_of(r.httpRequest.requestUrl) AS host_text
FROM parsed
