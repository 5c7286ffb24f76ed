-- Usage between two instants of partners that are not in the catalog.
-- in:  rollups; partners(partner_id); $start, $end TIMESTAMPTZ
-- out: partner_id, requests HUGEINT; ordered
SELECT partner_id, sum(requests) AS requests
FROM rollups
WHERE window_start >= $start AND window_start < $end AND partner_id NOT IN (SELECT partner_id FROM partners)
GROUP BY partner_id
HAVING sum(requests) != 0  -- not all of it was taken out again
ORDER BY partner_id
