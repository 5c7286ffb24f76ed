-- in:  alerts
-- out: every column of alerts, ordered so that the statements about one alert follow the order in which they were
--      made: alerts by kind, partner, meter, plan, period, threshold, start of the limit and id
WITH numbered AS (
    SELECT
        alert_id, kind, partner_id, meter, plan, quota_period, period_start, period_end, threshold_percent, used, quota,
        passed, crossed_at, projected_exhaustion_at, events_version, limit_since, withdraws, subject, key, began_at, ends_at,
        evidence, restates, number,
        coalesce(number, CASE kind WHEN 'withdrawn' THEN 2 ELSE 1 END) AS ordinal
    FROM alerts
)

SELECT
    alert_id, kind, partner_id, meter, plan, quota_period, period_start, period_end, threshold_percent, used, quota,
    passed, crossed_at, projected_exhaustion_at, events_version, limit_since, withdraws, subject, key, began_at, ends_at,
    evidence, restates, number
FROM numbered
ORDER BY
    ordinal, kind, partner_id, subject, meter, plan, quota_period, period_start, threshold_percent, limit_since, alert_id
