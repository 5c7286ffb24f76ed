-- tyk: Tyk Pump analytics records in JSON: flat, as the Kafka pump writes them, or inside "tyk-analytics-record", as
-- the standard output pump does in its JSON form.
-- Fields: the AnalyticsRecord of tyk-pump. The pump's own log lines are not requests.
-- Units: timestamp RFC 3339 (the outer "time" is the pump's and is ignored); request_time (Kafka: request_time_ms) in
--   ms; content_length in bytes of the request's body, -1 unknown. The size of a response is not recorded.
-- Id: none, derived.
-- Identity: api_key (api_key). With hash_keys it is a hash and is used unchanged; a plain key is replaced by its
--   SHA-256 in hex, so that no key is stored. '' and 00000000 mean none; then oauth_id (consumer).
-- The route is the path if analytics_config.normalise_urls made it differ from raw_path.
-- Field timestamp            time by iso_time_us
-- Field method
-- Field host                 unread
-- Field path
-- Field raw_path
-- Field content_length       request_bytes
-- Field response_code
-- Field api_key
-- Field api_id
-- Field oauth_id
-- Field request_time         latency
-- Field request_time_ms      latency
-- Field ip_address           address
-- Field tyk-analytics-record envelope
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH opened AS (
    SELECT
        position,
        line,
        member_in(line, 'tyk-analytics-record') AS record
    FROM lines
),

parsed AS (
    SELECT
        position,
        line,
        fields(record) AS r
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
