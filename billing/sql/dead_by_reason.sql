-- in:  dead; $reason, $source: VARCHAR or NULL (all)
-- out: outcome, reason, source, entries BIGINT; the most frequent first
SELECT outcome, reason, source, count(*)::BIGINT AS entries
FROM dead
WHERE ($reason IS NULL OR reason = $reason) AND ($source IS NULL OR source = $source)
GROUP BY outcome, reason, source
ORDER BY entries DESC, reason, source
