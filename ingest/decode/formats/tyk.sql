-- tyk: Tyk Pump analytics records in JSON: flat, as the Kafka pump writes them, or inside "tyk-analytics-record", as
-- the
-- standard output pump does in its JSON form.
-- Fields: the AnalyticsRecord of tyk-pump. The pump's own log lines are not requests.
-- Units: timestamp RFC 3339 (the outer "time" is the pump's and is ignored); request_time (Kafka: request_time_ms) in
-- ms;
--   content_length in bytes of the request's body, -1 unknown. The size of a response is not recorded.
-- Id: none, derived.
-- Varying: time timestamp, request_bytes content_length, latency_ms request_time, latency_ms request_time_ms, address ip_address
-- Varying: alike tyk-analytics-record, unread host
-- Identity: api_key (api_key). With hash_keys it is a hash and is used unchanged; a plain key is replaced by its
-- SHA-256 in
--   hex, so that no key is stored. '' and 00000000 mean none; then oauth_id (consumer).
-- The route is the path if analytics_config.normalise_urls made it differ from raw_path.
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH opened AS (
    SELECT
        position,
        line,
        CASE
            WHEN starts_with(line, '{') AND json_valid(line) THEN coalesce(
                CASE WHEN contains(line, '"tyk-analytics-record"') THEN json_extract(line, '$."tyk-analytics-record"')::VARCHAR END,
                line
            )
        END AS record
    FROM lines
),

parsed AS (
    SELECT
        position,
        line,
        CASE WHEN record IS NOT NULL THEN from_json(record, '{
            "timestamp": "VARCHAR", "method": "VARCHAR", "host": "VARCHAR", "path": "VARCHAR", "raw_path": "VARCHAR",
            "content_length": "VARCHAR", "response_code": "VARCHAR", "api_key": "VARCHAR", "api_id": "VARCHAR",
            "oauth_id": "VARCHAR", "request_time": "VARCHAR", "request_time_ms": "VARCHAR", "ip_address": "VARCHAR"
        }') END AS r
    FROM opened
),

identified AS (
    SELECT
        position,
        line,
        r,
        CASE
            WHEN r.api_key IN ('', '00000000') THEN NULL
            WHEN regexp_full_match(r.api_key, '[0-9a-f]{8}|[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{64}') THEN r.api_key
            ELSE sha256(r.api_key)
        END AS key_hash
    FROM parsed
)

SELECT
    position,
    0 AS item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN r.response_code IS NULL OR r.api_id IS NULL THEN 'NOT_A_REQUEST'
    END AS format_reason,
    NULL::VARCHAR AS event_id,
    FALSE AS id_is_safe,
    r.timestamp AS time_text,
    iso_time_us(r.timestamp) AS time_us,
    nullif(r.method, '') AS method,
    coalesce(nullif(r.raw_path, ''), r.path) AS target,
    CASE WHEN r.path != r.raw_path THEN nullif(r.path, '') END AS route,
    r.response_code AS status_text,
    nullif(r.content_length, '-1') AS request_bytes_text,
    NULL::VARCHAR AS response_bytes_text,
    coalesce(r.request_time, r.request_time_ms) AS latency_ms_text,
    nullif(r.ip_address, '') AS client_ip_text,
    CASE WHEN key_hash IS NOT NULL THEN 'api_key' WHEN r.oauth_id != '' THEN 'consumer' ELSE 'none' END AS identity_kind,
    coalesce(key_hash, nullif(r.oauth_id, '')) AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(r.api_id, '') AS service,
    r.host AS host_text
FROM identified
