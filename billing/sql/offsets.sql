-- The offset vector: the position up to which each file was read.
-- in:  reads
-- out: source, generation, file (its last name), next_offset BIGINT; ordered
SELECT source, generation, arg_max(file, to_offset) AS file, max(to_offset)::BIGINT AS next_offset
FROM reads
GROUP BY source, generation
ORDER BY source, generation
