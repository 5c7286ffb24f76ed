-- Entries of a source with field names of its own (Source.fields in the catalog). A mapped field takes precedence over
-- the format's. Only JSON objects have fields. A line that the format refuses is an entry if the mapped fields name a
-- request.
-- in:  read: the entry columns of ingest/decode/sql/normalise.sql; given, one row: field_<target>, JSON path or NULL
-- out: the same columns
WITH named AS (
    SELECT
        read.*,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN struct_pack(
            event_id := own_field(line, given.field_request_id),
            time_text := own_field(line, given.field_time),
            method := own_field(line, given.field_method),
            target := own_field(line, given.field_path),
            -- It may be the request target: a query is never stored.
            route := nullif(split_part(split_part(own_field(line, given.field_route), '?', 1), '#', 1), ''),
            status := own_field(line, given.field_status),
            request_bytes := own_field(line, given.field_request_bytes),
            response_bytes := own_field(line, given.field_response_bytes),
            latency_ms := coalesce(own_field(line, given.field_latency_ms), ms_of_seconds(own_field(line, given.field_latency_s))),
            client_ip := own_field(line, given.field_client_ip),
            api_key := own_field(line, given.field_api_key),
            consumer := own_field(line, given.field_consumer),
            iam := own_field(line, given.field_iam),
            service := own_field(line, given.field_service),
            host := own_field(line, given.field_host)
        ) END AS own
    FROM read
    CROSS JOIN given
)

SELECT
    position,
    item,
    line,
    CASE WHEN coalesce(own.method, own.target, own.route, own.status) IS NULL THEN format_reason END AS format_reason,
    coalesce(own.event_id, event_id) AS event_id,
    -- By mapping an id the operator states that clients cannot choose it.
    own.event_id IS NOT NULL OR id_is_safe AS id_is_safe,
    coalesce(own.time_text, time_text) AS time_text,
    CASE WHEN own.time_text IS NOT NULL THEN any_time_us(own.time_text) ELSE time_us END AS time_us,
    coalesce(own.method, method) AS method,
    coalesce(own.target, target) AS target,
    coalesce(own.route, route) AS route,
    coalesce(own.status, status_text) AS status_text,
    coalesce(own.request_bytes, request_bytes_text) AS request_bytes_text,
    coalesce(own.response_bytes, response_bytes_text) AS response_bytes_text,
    coalesce(own.latency_ms, latency_ms_text) AS latency_ms_text,
    coalesce(own.client_ip, client_ip_text) AS client_ip_text,
    CASE
        WHEN own.api_key IS NOT NULL THEN 'api_key'
        WHEN own.consumer IS NOT NULL THEN 'consumer'
        WHEN own.iam IS NOT NULL THEN 'iam'
        ELSE coalesce(identity_kind, 'none')
    END AS identity_kind,
    coalesce(own.api_key, own.consumer, own.iam, identity_value) AS identity_value,
    CASE WHEN coalesce(own.api_key, own.consumer, own.iam) IS NULL THEN identity_client END AS identity_client,
    coalesce(own.service, service) AS service,
    coalesce(own.host, host_text) AS host_text
FROM named
