-- in:  alerts
-- out: the alerts that fired and the withdrawals: alert_id, kind, partner_id, meter, plan, quota_period, period_start,
--      threshold_percent, quota, limit_since, withdraws; fired alerts before withdrawals, ordered
SELECT
    alert_id, kind, partner_id, meter, plan, quota_period, period_start, threshold_percent, quota, limit_since, withdraws
FROM alerts
ORDER BY kind, partner_id, meter, plan, quota_period, period_start, threshold_percent, limit_since, alert_id
