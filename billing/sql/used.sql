-- Partners with any usage in their span. Requests are 0 if all of the usage was withdrawn.
-- in:  rollups; spans as for metered.sql, one per partner
-- out: partner_id, requests HUGEINT, response_bytes HUGEINT, last_window TIMESTAMPTZ; ordered
SELECT r.partner_id, sum(r.requests) AS requests, sum(r.response_bytes) AS response_bytes, max(r.window_start) AS last_window
FROM rollups AS r
INNER JOIN spans AS s
    ON s.partner_id = r.partner_id AND r.window_start >= s.span_start AND r.window_start < s.span_end
GROUP BY r.partner_id
ORDER BY r.partner_id
