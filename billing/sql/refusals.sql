-- Refused entries that no redrive has settled.
-- in:  dead, redriven
-- out: source, reason, entries BIGINT; ordered
SELECT d.source, d.reason, count(*)::BIGINT AS entries
FROM dead AS d
ANTI JOIN redriven AS r
    ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
WHERE d.outcome = 'refused'
GROUP BY d.source, d.reason
ORDER BY d.source, d.reason
