-- cloudflare: Cloudflare Logpush, data set http_requests: one JSON object a line, or an array (batch_prefix and batch_suffix).
-- Fields: those the job selects; wanted are EdgeStartTimestamp, EdgeEndTimestamp, RayID, ClientRequestMethod, ClientRequestURI,
--   ClientRequestHost, ClientRequestBytes, EdgeResponseStatus, EdgeResponseBytes, ClientIP, WorkerSubrequest, ZoneName.
-- Units: timestamps as the job is set: RFC 3339, s or ns since the epoch. Latency is end less start, absent where both are whole
--   seconds. Bytes with headers.
-- Id: RayID, made by Cloudflare. A request of a Worker on behalf of another (WorkerSubrequest) is no request of a client.
-- Varying: id RayID, time EdgeStartTimestamp, end EdgeEndTimestamp, unread ClientRequestURI, unread ClientRequestHost, request_bytes ClientRequestBytes
-- Varying: response_bytes EdgeResponseBytes, address ClientIP
-- Identity: none; where a field of the line names the partner, say so in the source (partner_field), else meter behind it.
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
            "RayID": "VARCHAR", "EdgeStartTimestamp": "VARCHAR", "EdgeEndTimestamp": "VARCHAR", "ZoneName": "VARCHAR",
            "ClientRequestMethod": "VARCHAR", "ClientRequestURI": "VARCHAR", "ClientRequestHost": "VARCHAR",
            "ClientRequestBytes": "VARCHAR", "EdgeResponseStatus": "VARCHAR", "EdgeResponseBytes": "VARCHAR",
            "ClientIP": "VARCHAR", "WorkerSubrequest": "VARCHAR"
        }') END AS r
    FROM framed
),

timed AS (
    SELECT
        position,
        item,
        line,
        r,
        CASE
            WHEN contains(r.EdgeStartTimestamp, '-') THEN iso_time_us(r.EdgeStartTimestamp)
            WHEN length(r.EdgeStartTimestamp) = 19 THEN epoch_ns_us(r.EdgeStartTimestamp)
            ELSE epoch_number_us(r.EdgeStartTimestamp)
        END AS start_us,
        CASE
            WHEN contains(r.EdgeEndTimestamp, '.') THEN iso_time_us(r.EdgeEndTimestamp)
            WHEN length(r.EdgeEndTimestamp) = 19 THEN epoch_ns_us(r.EdgeEndTimestamp)
        END AS fine_end_us
    FROM parsed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN r.WorkerSubrequest = 'true' THEN 'NOT_A_REQUEST'
        WHEN coalesce(r.ClientRequestMethod, r.ClientRequestURI, r.EdgeResponseStatus) IS NULL THEN 'NOT_A_REQUEST'
    END AS format_reason,
    nullif(r.RayID, '') AS event_id,
    TRUE AS id_is_safe,
    r.EdgeStartTimestamp AS time_text,
    start_us AS time_us,
    nullif(r.ClientRequestMethod, '') AS method,
    r.ClientRequestURI AS target,
    NULL::VARCHAR AS route,
    r.EdgeResponseStatus AS status_text,
    r.ClientRequestBytes AS request_bytes_text,
    r.EdgeResponseBytes AS response_bytes_text,
    ((fine_end_us - start_us) * 0.001)::DECIMAL(18, 3)::VARCHAR AS latency_ms_text,
    nullif(r.ClientIP, '') AS client_ip_text,
    'none' AS identity_kind,
    NULL::VARCHAR AS identity_value,
    NULL::VARCHAR AS identity_client,
    nullif(r.ZoneName, '') AS service,
    r.ClientRequestHost AS host_text
FROM timed
