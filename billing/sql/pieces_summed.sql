-- Rollups summed by piece of time, which is all that the usage of whole spans needs; metered.sql reads them as `sums`.
-- in:  rollups; spans(partner_id); pieces(window_start, piece_start: TIMESTAMPTZ), one row per window of any span;
--      $fields VARCHAR[]: the fields that meters sum; $calls BOOLEAN: whether a meter filters by method or route, or
--      somebody lists routes
-- out: the columns of rollups, with HUGEINT sums: window_start is the start of the piece; a field that is not asked for
--      is NULL, and so are method and route without $calls, and source, service and events_partition
SELECT
    r.partner_id,
    p.piece_start AS window_start,
    NULL AS source,
    NULL AS service,
    CASE WHEN $calls THEN r.method END AS method,
    CASE WHEN $calls THEN r.route END AS route,
    r.status,
    sum(CASE WHEN list_contains($fields::VARCHAR[], 'requests') THEN r.requests END) AS requests,
    sum(CASE WHEN list_contains($fields::VARCHAR[], 'request_bytes') THEN r.request_bytes END) AS request_bytes,
    sum(CASE WHEN list_contains($fields::VARCHAR[], 'response_bytes') THEN r.response_bytes END) AS response_bytes,
    sum(CASE WHEN list_contains($fields::VARCHAR[], 'latency_us') THEN r.latency_us END) AS latency_us,
    NULL AS events_partition
FROM rollups AS r
INNER JOIN pieces AS p ON p.window_start = r.window_start
WHERE r.partner_id IN (SELECT partner_id FROM spans)
GROUP BY ALL
