-- The months in which a partner has usage.
-- in:  rollups; months(position, partner_id, month_start, month_end): [start, end), multiples of a quarter of an hour
-- out: position; ordered
SELECT m.position
FROM months AS m
INNER JOIN rollups AS r
    ON r.partner_id = m.partner_id AND r.window_start >= m.month_start AND r.window_start < m.month_end
GROUP BY m.position
HAVING sum(r.requests) > 0
ORDER BY m.position
