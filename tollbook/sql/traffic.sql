-- All counted requests, whether or not a meter counts them, by the partner's local day and month.
-- in:  rollups; partners(partner_id, name, time_zone, status); local_days(time_zone, day, day_start) as for usage.sql
-- out: partner_id, window_start, day, month (YYYY-MM), source, service, method, route, status, requests, request_bytes,
--      response_bytes, latency_us (sum)
SELECT
    r.partner_id,
    r.window_start,
    d.day,
    strftime(d.day, '%Y-%m') AS month,
    r.source,
    r.service,
    r.method,
    r.route,
    r.status,
    r.requests,
    r.request_bytes,
    r.response_bytes,
    r.latency_us
FROM rollups AS r
INNER JOIN partners AS p ON p.partner_id = r.partner_id
ASOF INNER JOIN local_days AS d ON d.time_zone = p.time_zone AND d.day_start <= r.window_start
