-- Hashes of the usage of bills: sums by key of rollups, as integers and length-prefixed strings, in a fixed order.
-- in:  rollups; spans(partner_id, span_start, span_end: TIMESTAMPTZ, [start, end)), one per partner
-- out: partner_id, sha256: one row per partner with usage; ordered
WITH summed AS (
    SELECT
        r.partner_id, epoch_us(r.window_start) AS window_us, r.source, r.service, r.method, r.route, r.status,
        sum(r.requests::HUGEINT) AS requests, sum(r.request_bytes::HUGEINT) AS request_bytes,
        sum(r.response_bytes::HUGEINT) AS response_bytes, sum(r.latency_us::HUGEINT) AS latency_us
    FROM rollups AS r
    INNER JOIN spans AS s
        ON s.partner_id = r.partner_id AND r.window_start >= s.span_start AND r.window_start < s.span_end
    GROUP BY ALL
),

written AS (
    SELECT
        partner_id,
        window_us::VARCHAR
        || ' ' || coalesce(strlen(source)::VARCHAR || ':' || source, '-')
        || ' ' || coalesce(strlen(service)::VARCHAR || ':' || service, '-')
        || ' ' || coalesce(strlen(method)::VARCHAR || ':' || method, '-')
        || ' ' || coalesce(strlen(route)::VARCHAR || ':' || route, '-')
        || ' ' || coalesce(status::VARCHAR, '-')
        || ' ' || requests::VARCHAR || ' ' || coalesce(request_bytes, 0)::VARCHAR
        || ' ' || coalesce(response_bytes, 0)::VARCHAR || ' ' || coalesce(latency_us, 0)::VARCHAR AS line
    FROM summed
    -- Usage that corrections cancelled completely gives the same hash as no usage.
    WHERE requests != 0 OR request_bytes != 0 OR response_bytes != 0 OR latency_us != 0
)

SELECT partner_id, sha256(string_agg(line, chr(10) ORDER BY line)) AS sha256
FROM written
GROUP BY partner_id
ORDER BY partner_id
