-- in:  alerts
-- out: what has fired and what was withdrawn: kind, partner_id, meter, plan, quota_period, period_start, threshold_percent; ordered
SELECT kind, partner_id, meter, plan, quota_period, period_start, threshold_percent
FROM alerts
ORDER BY ALL
