-- in:  rollups(partner_id, window_start, …)
-- out: partner_id, window_start: the first window of each partner with usage
SELECT partner_id, min(window_start) AS window_start
FROM rollups
GROUP BY partner_id
ORDER BY partner_id
