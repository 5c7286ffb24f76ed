-- in:  metered
-- out: span, window_start, quantity DECIMAL(38, 0): one row per span and window with usage, in time order
SELECT span, window_start, sum(quantity)::DECIMAL(38, 0) AS quantity
FROM metered
GROUP BY span, window_start
ORDER BY span, window_start
