-- in:  metered
-- out: span, window_start, events_partition, quantity DECIMAL(38, 0): one row for each with usage; ordered
SELECT span, window_start, events_partition, sum(quantity)::DECIMAL(38, 0) AS quantity
FROM metered
GROUP BY span, window_start, events_partition
ORDER BY span, window_start, events_partition
