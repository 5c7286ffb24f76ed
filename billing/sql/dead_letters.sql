-- in:  dead; $reason, $source: VARCHAR or NULL (all); $limit
-- out: the letters in log order, at most $limit
SELECT outcome, reason, detail, source, generation, position, item, event_id, partner_id, occurred_at, raw, raw_sha256
FROM dead
WHERE ($reason IS NULL OR reason = $reason) AND ($source IS NULL OR source = $source)
ORDER BY source, generation, position, item
LIMIT $limit
