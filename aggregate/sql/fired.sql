-- in:  alerts
-- out: what has fired and what was withdrawn: alert_id, kind, partner_id, meter, plan, quota_period, period_start, threshold_percent,
--      quota, limit_since, withdraws; what fired before what was withdrawn, ordered
SELECT
    alert_id, kind, partner_id, meter, plan, quota_period, period_start, threshold_percent, quota, limit_since, withdraws
FROM alerts
ORDER BY kind, partner_id, meter, plan, quota_period, period_start, threshold_percent, limit_since, alert_id
