-- otlp: OpenTelemetry logs in the JSON encoding of OTLP, one ExportLogsServiceRequest a line (what the collector's file exporter
-- writes and what OTLP over HTTP carries); each log record of it is an entry.
-- Fields: attributes of the HTTP semantic conventions, new and old names; of Kong's OpenTelemetry plugin (kong.…) and of the
--   collector's readings of AWS and Google load balancer logs (aws.elb.…, gcp.…). A record without an HTTP method or status is none.
-- Units: timeUnixNano in ns, floored to us; where it is absent or 0, observedTimeUnixNano. Sizes in bytes. Latency:
--   kong.latency.total in ms, else http.request.server.duration in s, else the sum of the three aws.elb.…_processing_time in s.
-- Id: kong.request.id, else log.record.uid, which who wrote the record made; else derived. Trace ids come from clients.
-- Attributes: names resourceLogs/scopeLogs/logRecords/attributes, resource_names resourceLogs/resource/attributes
-- Varying: epoch resourceLogs/scopeLogs/logRecords/timeUnixNano, epoch resourceLogs/scopeLogs/logRecords/observedTimeUnixNano
-- Varying: id resourceLogs/scopeLogs/logRecords/attributes/kong.request.id, id resourceLogs/scopeLogs/logRecords/attributes/log.record.uid
-- Varying: unread resourceLogs/scopeLogs/logRecords/attributes/url.path, unread resourceLogs/scopeLogs/logRecords/attributes/http.target
-- Varying: unread resourceLogs/scopeLogs/logRecords/attributes/url.full, unread resourceLogs/scopeLogs/logRecords/attributes/http.url
-- Varying: unread resourceLogs/scopeLogs/logRecords/attributes/url.domain, unread resourceLogs/scopeLogs/logRecords/attributes/http.host
-- Varying: request_bytes resourceLogs/scopeLogs/logRecords/attributes/http.request.size, request_bytes resourceLogs/scopeLogs/logRecords/attributes/http.request_content_length
-- Varying: response_bytes resourceLogs/scopeLogs/logRecords/attributes/http.response.size, response_bytes resourceLogs/scopeLogs/logRecords/attributes/http.response_content_length
-- Varying: latency_ms resourceLogs/scopeLogs/logRecords/attributes/kong.latency.total, latency_s resourceLogs/scopeLogs/logRecords/attributes/http.request.server.duration
-- Varying: latency_part resourceLogs/scopeLogs/logRecords/attributes/aws.elb.request_processing_time, latency_part resourceLogs/scopeLogs/logRecords/attributes/aws.elb.target_processing_time
-- Varying: latency_part resourceLogs/scopeLogs/logRecords/attributes/aws.elb.response_processing_time
-- Varying: address resourceLogs/scopeLogs/logRecords/attributes/client.address, address resourceLogs/scopeLogs/logRecords/attributes/network.peer.address, address resourceLogs/scopeLogs/logRecords/attributes/http.client_ip
-- Identity: kong.consumer.id, else enduser.id (consumer).
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH requests AS (
    SELECT
        position,
        line,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "resourceLogs": [{"resource": {"attributes": "JSON"}, "scopeLogs": [{"logRecords": ["JSON"]}]}]
        }') END AS r
    FROM lines
),

framed AS (
    SELECT
        position,
        line,
        flatten(list_transform(r.resourceLogs, lambda sender: flatten(list_transform(sender.scopeLogs, lambda scope: list_transform(
            scope.logRecords, lambda record: struct_pack(resource := sender.resource.attributes, record := record)
        ))))) AS records
    FROM requests
),

items AS (
    SELECT position, line, unnest(range(len(entries)))::INTEGER AS item, unnest(entries) AS entry
    FROM (
        SELECT position, line, CASE WHEN len(records) > 0 THEN records ELSE [struct_pack(resource := NULL::JSON, record := NULL::JSON)] END AS entries
        FROM framed
    )
),

parsed AS (
    SELECT
        position,
        item,
        coalesce(entry.record::VARCHAR, line) AS line,
        from_json(entry.record, '{
            "timeUnixNano": "VARCHAR", "observedTimeUnixNano": "VARCHAR",
            "attributes": [{"key": "VARCHAR", "value": {"stringValue": "VARCHAR", "intValue": "VARCHAR", "doubleValue": "VARCHAR"}}]
        }') AS r,
        from_json(entry.resource, '[{"key": "VARCHAR", "value": {"stringValue": "VARCHAR"}}]') AS resource
    FROM items
),

listed AS (
    SELECT
        position,
        item,
        line,
        coalesce(epoch_ns_us(r.timeUnixNano), epoch_ns_us(r.observedTimeUnixNano)) AS time_us,
        coalesce(nullif(r.timeUnixNano, '0'), r.observedTimeUnixNano) AS time_text,
        list_transform(r.attributes, lambda a: a.key) AS names,
        list_transform(r.attributes, lambda a: coalesce(a.value.stringValue, a.value.intValue, a.value.doubleValue)) AS texts,
        list_transform(resource, lambda a: a.key) AS resource_names,
        list_transform(resource, lambda a: a.value.stringValue) AS resource_texts
    FROM parsed
),

named AS (
    SELECT
        position,
        item,
        line,
        time_text,
        time_us,
        coalesce(texts[list_position(names, 'kong.request.id')], texts[list_position(names, 'log.record.uid')]) AS event_id,
        coalesce(texts[list_position(names, 'http.request.method')], texts[list_position(names, 'http.method')]) AS method,
        coalesce(texts[list_position(names, 'url.path')], texts[list_position(names, 'http.target')]) AS path,
        coalesce(texts[list_position(names, 'url.full')], texts[list_position(names, 'http.url')]) AS url,
        coalesce(texts[list_position(names, 'kong.route.name')], texts[list_position(names, 'http.route')]) AS route,
        coalesce(
            texts[list_position(names, 'http.response.status_code')],
            texts[list_position(names, 'aws.elb.status.code')],
            texts[list_position(names, 'http.status_code')]
        ) AS status_text,
        coalesce(texts[list_position(names, 'http.request.size')], texts[list_position(names, 'http.request_content_length')]) AS request_bytes_text,
        coalesce(texts[list_position(names, 'http.response.size')], texts[list_position(names, 'http.response_content_length')]) AS response_bytes_text,
        CASE
            WHEN list_contains(names, 'kong.latency.total') THEN texts[list_position(names, 'kong.latency.total')]
            WHEN list_contains(names, 'http.request.server.duration') THEN ms_of_seconds(texts[list_position(names, 'http.request.server.duration')])
            WHEN list_contains(names, 'aws.elb.target_processing_time') THEN summed_ms(
                texts[list_position(names, 'aws.elb.request_processing_time')],
                texts[list_position(names, 'aws.elb.target_processing_time')],
                texts[list_position(names, 'aws.elb.response_processing_time')]
            )
        END AS latency_ms_text,
        coalesce(
            texts[list_position(names, 'client.address')],
            texts[list_position(names, 'network.peer.address')],
            texts[list_position(names, 'http.client_ip')]
        ) AS client_ip_text,
        coalesce(texts[list_position(names, 'kong.consumer.id')], texts[list_position(names, 'enduser.id')]) AS consumer,
        coalesce(
            texts[list_position(names, 'kong.service.name')],
            resource_texts[list_position(resource_names, 'service.name')],
            resource_texts[list_position(resource_names, 'gcp.label.backend_service_name')],
            resource_texts[list_position(resource_names, 'gcp.label.backend_target_name')],
            resource_texts[list_position(resource_names, 'cloud.resource_id')]
        ) AS service,
        coalesce(texts[list_position(names, 'url.domain')], texts[list_position(names, 'http.host')]) AS host_text
    FROM listed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN coalesce(method, status_text) IS NOT NULL THEN NULL
        WHEN starts_with(line, '{') AND json_valid(line) THEN 'NOT_A_REQUEST'
        ELSE no_object(line)
    END AS format_reason,
    nullif(event_id, '') AS event_id,
    TRUE AS id_is_safe,
    time_text,
    time_us,
    nullif(method, '') AS method,
    coalesce(path, url) AS target,
    nullif(route, '') AS route,
    status_text,
    request_bytes_text,
    response_bytes_text,
    latency_ms_text,
    client_ip_text,
    CASE WHEN consumer != '' THEN 'consumer' ELSE 'none' END AS identity_kind,
    nullif(consumer, '') AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(service, '') AS service,
    coalesce(nullif(host_text, ''), authority_of(url)) AS host_text
FROM named
