-- in:  metered; $zone: the partner's time zone
-- out: day (local date), route, meter, quantity DECIMAL(38, 0); days in order, within a day the largest first
SELECT
    timezone($zone, window_start)::DATE AS day,
    coalesce(route, '(no route)') AS route,
    meter,
    sum(quantity)::DECIMAL(38, 0) AS quantity
FROM metered
GROUP BY ALL
ORDER BY day, meter, quantity DESC, route
