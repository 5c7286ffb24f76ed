-- cloudevents: CloudEvents 1.0 in JSON, one event per line or an array of events (a batch; [] has no events), as sent
-- by OpenMeter's clients.
-- Fields: id, source, subject, time, specversion; of data, if it is an object: method, path, route, status_code,
--   request_bytes, response_bytes, latency_ms. Other data is ignored.
-- Units: time RFC 3339; bytes, ms. Numbers are JSON numbers; bytes are whole and written as digits (1.0 and 1e3 are
--   refused, -0 is 0).
-- Strict: at most 64 KiB per event, 32 levels, 256 fields; no duplicate names; specversion 1.0; for a source with
--   `event_types` in the catalog, only those types. Nothing is guessed: any deviation is refused with a reason of its
--   own.
-- Id: id is unique within its source, so the event id is "<source> <id>", or the SHA-256 of that if it exceeds 128
--   characters. The producer chooses it, a new one for each event: accept events from your own producers, not from
--   partners.
-- Identity: subject, the customer (consumer). The service is the source.
-- Field id                  id_behind as JSON
-- Field source              as JSON
-- Field specversion
-- Field type
-- Field subject             as JSON
-- Field time                time by iso_time_us
-- Field data/method
-- Field data/path           unread
-- Field data/route
-- Field data/status_code    as JSON
-- Field data/request_bytes  request_bytes by quantity_of as JSON
-- Field data/response_bytes response_bytes by quantity_of as JSON
-- Field data/latency_ms     latency as JSON
-- in:  lines(position, line); given, one row: event_types, or NULL for any
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, line
    FROM lines
    WHERE NOT starts_with(line, '[')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (
        SELECT position, batch_in(line) AS records
        FROM lines
        WHERE starts_with(line, '[')
    )
),

parsed AS (
    SELECT
        position,
        item,
        line,
        fields(line) AS r
    FROM framed
),

named AS (
    -- Of type JSON, so that 1 and "1" differ.
    SELECT
        position,
        item,
        line,
        r,
        text_of(r.id) AS id,
        text_of(r.source) AS source,
        text_of(r.subject) AS subject,
        nullif(r.data.status_code::VARCHAR, 'null') AS status,
        nullif(r.data.request_bytes::VARCHAR, 'null') AS request_bytes,
        nullif(r.data.response_bytes::VARCHAR, 'null') AS response_bytes,
        nullif(r.data.latency_ms::VARCHAR, 'null') AS latency_ms
    FROM parsed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN strlen(line) > 65536 THEN 'TOO_LARGE'
        WHEN r.specversion IS DISTINCT FROM '1.0' THEN 'SCHEMA_UNKNOWN'
        WHEN given.event_types IS NOT NULL AND NOT coalesce(list_contains(given.event_types, r.type), FALSE) THEN 'UNKNOWN_METER'
        WHEN r.id IS NULL OR r.id = 'null' THEN 'NO_ID'
        WHEN id IS NULL OR (source IS NULL AND r.source != 'null') OR (subject IS NULL AND r.subject != 'null') THEN 'WRONG_TYPE'
        WHEN quantity_problem(request_bytes) IS NOT NULL THEN quantity_problem(request_bytes)
        WHEN quantity_problem(response_bytes) IS NOT NULL THEN quantity_problem(response_bytes)
        WHEN NOT regexp_matches(latency_ms, '^-?[0-9]') THEN 'WRONG_TYPE'
        WHEN starts_with(latency_ms, '-') AND latency_ms != '-0' THEN 'NEGATIVE'
    END AS format_reason,
    CASE
        WHEN coalesce(source, '') = '' OR contains(source, ' ') THEN ''
        WHEN length(id) > 128 OR id < '!' THEN id
        WHEN length(source) + length(id) < 128 THEN source || ' ' || id
        ELSE sha256(source || ' ' || id)
    END AS event_id,
    TRUE AS id_is_safe,
    r.time AS time_text,
    iso_time_us(r.time) AS time_us,
    nullif(r.data.method, '') AS method,
    r.data.path AS target,
    nullif(r.data.route, '') AS route,
    status AS status_text,  -- a string keeps its quotes, and is no status
    request_bytes AS request_bytes_text,
    response_bytes AS response_bytes_text,
    latency_ms AS latency_ms_text,
    NULL::VARCHAR AS client_ip_text,
    CASE WHEN subject = '' OR subject IS NULL THEN 'none' ELSE 'consumer' END AS identity_kind,
    nullif(subject, '') AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(source, '') AS service,
    NULL::VARCHAR AS host_text
FROM named
CROSS JOIN given
