-- cloudevents: CloudEvents 1.0 in JSON, one event a line or an array of them (a batch, [] is one without events), as OpenMeter's
-- clients send them.
-- Fields: id, source, subject, time, specversion; of data, where it is an object: method, path, route, status_code,
--   request_bytes, response_bytes, latency_ms. Other data is the business of who made it.
-- Units: time RFC 3339; bytes; ms.
-- Id: id is unique within its source, so the event's is "<source> <id>", or its SHA-256 where that is longer than 128 characters.
--   The producer chooses it and must make it anew for each event: take events from producers of your own, not from who pays.
-- Identity: subject, the customer (consumer). The service is the source.
-- in:  lines(position, line)
-- out: the entry columns of ingest/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, line
    FROM lines
    WHERE NOT starts_with(line, '[')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (
        SELECT position, CASE WHEN json_valid(line) THEN json_extract(line, '$[*]')::VARCHAR[] ELSE [line] END AS records
        FROM lines
        WHERE starts_with(line, '[')
    )
),

parsed AS (
    SELECT
        position,
        item,
        line,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "id": "JSON", "source": "VARCHAR", "specversion": "VARCHAR", "subject": "VARCHAR", "time": "VARCHAR",
            "data": {
                "method": "VARCHAR", "path": "VARCHAR", "route": "VARCHAR", "status_code": "VARCHAR",
                "request_bytes": "VARCHAR", "response_bytes": "VARCHAR", "latency_ms": "VARCHAR"
            }
        }') END AS r
    FROM framed
),

identified AS (
    -- The id must be a text: 1 and "1" would else be one event.
    SELECT position, item, line, r, CASE WHEN starts_with(r.id, '"') THEN json_extract_string(r.id, '$') END AS id
    FROM parsed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN r.specversion IS NULL THEN 'NOT_A_REQUEST'
    END AS format_reason,
    CASE
        WHEN id IS NULL OR coalesce(r.source, '') = '' OR contains(r.source, ' ') THEN ''
        WHEN length(id) > 128 OR id < '!' THEN id
        WHEN length(r.source) + length(id) < 128 THEN r.source || ' ' || id
        ELSE sha256(r.source || ' ' || id)
    END AS event_id,
    TRUE AS id_is_safe,
    r.time AS time_text,
    iso_time_us(r.time) AS time_us,
    nullif(r.data.method, '') AS method,
    r.data.path AS target,
    nullif(r.data.route, '') AS route,
    r.data.status_code AS status_text,
    r.data.request_bytes AS request_bytes_text,
    r.data.response_bytes AS response_bytes_text,
    r.data.latency_ms AS latency_ms_text,
    NULL::VARCHAR AS client_ip_text,
    CASE WHEN r.subject = '' OR r.subject IS NULL THEN 'none' ELSE 'consumer' END AS identity_kind,
    nullif(r.subject, '') AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(r.source, '') AS service,
    NULL::VARCHAR AS host_text
FROM identified
