-- in:  dead
-- out: source, reason, entries BIGINT; ordered
SELECT source, reason, count(*)::BIGINT AS entries
FROM dead
WHERE outcome = 'refused'
GROUP BY source, reason
ORDER BY source, reason
