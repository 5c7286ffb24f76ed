-- in:  metered
-- out: span, quantity DECIMAL(38, 0): one row per span with usage
SELECT span, sum(quantity)::DECIMAL(38, 0) AS quantity
FROM metered
GROUP BY span
ORDER BY span
