-- in:  limits
-- out: the current limit of each quota, and when it took effect: plan, meter, quota_period, quota, limit_since; ordered
SELECT plan, meter, quota_period, arg_max(quota, limit_since) AS quota, max(limit_since) AS limit_since
FROM limits
GROUP BY plan, meter, quota_period
ORDER BY plan, meter, quota_period
