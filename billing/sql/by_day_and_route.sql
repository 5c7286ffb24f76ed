-- in:  metered; days(day DATE, day_start TIMESTAMPTZ): the partner's local days, without gaps from the first window to
--      the last
-- out: day (local date), route, meter, quantity DECIMAL(38, 0); ordered by day, and within a day by quantity, the
--      largest first
SELECT
    d.day,
    coalesce(m.route, '(no route)') AS route,
    m.meter,
    sum(m.quantity)::DECIMAL(38, 0) AS quantity
FROM metered AS m
ASOF INNER JOIN days AS d ON d.day_start <= m.window_start
GROUP BY ALL
ORDER BY d.day, m.meter, quantity DESC, route
