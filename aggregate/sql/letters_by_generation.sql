-- The origins of refused entries that can be read again.
-- in:  dead, redriven, reads; $source; $reason, $since, $until as in letters.sql
-- out: generation, file (its last name; null for a topic), entries; ordered
SELECT d.generation, any_value(f.file) AS file, count(*) AS entries
FROM dead AS d
ANTI JOIN redriven AS r
    ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
LEFT JOIN (
    SELECT source, generation, arg_max(file, to_offset) AS file FROM reads WHERE head_bytes > 0 GROUP BY source, generation
) AS f ON f.source = d.source AND f.generation = d.generation
WHERE d.outcome = 'refused'
    AND d.source = $source
    AND ($reason IS NULL OR d.reason = $reason)
    AND ($since IS NULL OR d.occurred_at >= $since)
    AND ($until IS NULL OR d.occurred_at < $until)
GROUP BY d.generation
ORDER BY d.generation
