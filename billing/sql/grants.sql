-- in:  grants
-- out: its rows in the order in which they were recorded
SELECT
    grant_id, action, partner_id, meter, quota_period, amount, starts_at, ends_at, reason, recorded_by, recorded_at
FROM grants
ORDER BY recorded_at, grant_id
