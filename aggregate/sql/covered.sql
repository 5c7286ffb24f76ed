-- The offset up to which each log partition has landed each origin.
-- in:  reads
-- out: source, generation (of the log partition), origin, covered_to BIGINT (everything below it is landed); ordered
SELECT source, generation, origin, max(origin_to)::BIGINT AS covered_to
FROM reads
GROUP BY source, generation, origin
ORDER BY source, generation, origin
