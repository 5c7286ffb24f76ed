-- in:  metered
-- out: span, route (NULL if the log had none), quantity DECIMAL(38, 0): one row per span and route with usage; within a
--      span by quantity, the largest first
SELECT
    span,
    nullif(route, '') AS route,
    sum(quantity)::DECIMAL(38, 0) AS quantity
FROM metered
GROUP BY span, nullif(route, '')
ORDER BY span, quantity DESC, route
