-- How far each log partition has taken in each origin.
-- in:  reads
-- out: source, generation (of the log partition), origin, covered_to BIGINT: everything below it; ordered
SELECT source, generation, origin, max(origin_to)::BIGINT AS covered_to
FROM reads
GROUP BY source, generation, origin
ORDER BY source, generation, origin
