-- The partners with usage.
-- in:  rollups
-- out: partner_id: once each; ordered
SELECT DISTINCT partner_id
FROM rollups
ORDER BY partner_id
