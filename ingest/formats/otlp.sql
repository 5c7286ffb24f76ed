-- otlp: OpenTelemetry logs in the JSON encoding of OTLP, one ExportLogsServiceRequest a line (what the collector's file exporter
-- writes and what OTLP over HTTP carries); each log record of it is an entry.
-- Fields: attributes of the HTTP semantic conventions, new and old names; of Kong's OpenTelemetry plugin (kong.…) and of the
--   collector's readings of AWS and Google load balancer logs (aws.elb.…, gcp.…). A record without an HTTP method or status is none.
-- Units: timeUnixNano in ns, floored to us; where it is absent or 0, observedTimeUnixNano. Sizes in bytes. Latency:
--   kong.latency.total in ms, else http.request.server.duration in s, else the sum of the three aws.elb.…_processing_time in s.
-- Id: kong.request.id, else log.record.uid, which who wrote the record made; else derived. Trace ids come from clients.
-- Identity: kong.consumer.id, else enduser.id (consumer).
-- A partner tag is looked for in the request, not in each record: name the partner by a credential, or by a source of its own.
-- in:  lines(position, line)
-- out: the entry columns of ingest/sql/normalise.sql
WITH requests AS (
    SELECT
        position,
        line,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "resourceLogs": [{
                "resource": {"attributes": [{"key": "VARCHAR", "value": {"stringValue": "VARCHAR"}}]},
                "scopeLogs": [{"logRecords": [{
                    "timeUnixNano": "VARCHAR", "observedTimeUnixNano": "VARCHAR",
                    "attributes": [{"key": "VARCHAR", "value": {"stringValue": "VARCHAR", "intValue": "VARCHAR", "doubleValue": "VARCHAR"}}]
                }]}]
            }]
        }') END AS r
    FROM lines
),

framed AS (
    SELECT
        position,
        line,
        r IS NOT NULL AS is_object,
        flatten(list_transform(r.resourceLogs, lambda group_of: flatten(list_transform(group_of.scopeLogs, lambda scope: list_transform(
            scope.logRecords, lambda entry: struct_pack(resource := group_of.resource.attributes, record := entry)
        ))))) AS records
    FROM requests
),

records AS (
    SELECT position, unnest(range(len(records)))::INTEGER AS item, line, is_object, unnest(records) AS entry
    FROM framed
    WHERE len(records) > 0
    UNION ALL
    SELECT position, 0 AS item, line, is_object, NULL AS entry
    FROM framed
    WHERE len(records) = 0 OR records IS NULL
),

listed AS (
    SELECT
        position,
        item,
        line,
        is_object,
        coalesce(epoch_ns_us(entry.record.timeUnixNano), epoch_ns_us(entry.record.observedTimeUnixNano)) AS time_us,
        coalesce(nullif(entry.record.timeUnixNano, '0'), entry.record.observedTimeUnixNano) AS time_text,
        list_transform(entry.record.attributes, lambda a: a.key) AS names,
        list_transform(entry.record.attributes, lambda a: coalesce(a.value.stringValue, a.value.intValue, a.value.doubleValue)) AS texts,
        list_transform(entry.resource, lambda a: a.key) AS resource_names,
        list_transform(entry.resource, lambda a: a.value.stringValue) AS resource_texts
    FROM records
),

named AS (
    SELECT
        position,
        item,
        line,
        is_object,
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
        texts[list_position(names, 'kong.latency.total')] AS kong_ms,
        texts[list_position(names, 'http.request.server.duration')] AS server_s,
        [
            texts[list_position(names, 'aws.elb.request_processing_time')],
            texts[list_position(names, 'aws.elb.target_processing_time')],
            texts[list_position(names, 'aws.elb.response_processing_time')]
        ] AS elb_s,
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
        WHEN NOT is_object THEN no_object(line)
        WHEN method IS NULL AND status_text IS NULL THEN 'NOT_A_REQUEST'
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
    CASE
        WHEN kong_ms IS NOT NULL THEN kong_ms
        WHEN server_s IS NOT NULL THEN ms_of_seconds(server_s)
        ELSE summed_ms(elb_s[1], elb_s[2], elb_s[3])
    END AS latency_ms_text,
    client_ip_text,
    CASE WHEN consumer != '' THEN 'consumer' ELSE 'none' END AS identity_kind,
    nullif(consumer, '') AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(service, '') AS service,
    coalesce(nullif(host_text, ''), authority_of(url)) AS host_text
FROM named
