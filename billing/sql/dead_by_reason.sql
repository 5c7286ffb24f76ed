-- Entries that are not counted, without refused entries that a redrive has settled.
-- in:  dead, redriven; $reason, $source, $credential (a prefix of its hash): VARCHAR or NULL (all); $since, $until:
--      TIMESTAMPTZ or NULL, of the event, [since, until)
-- out: outcome, reason, source, entries BIGINT; the most frequent first
SELECT d.outcome, d.reason, d.source, count(*)::BIGINT AS entries
FROM dead AS d
ANTI JOIN redriven AS r
    ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
    AND d.outcome = 'refused'
WHERE ($reason IS NULL OR d.reason = $reason)
    AND ($source IS NULL OR d.source = $source)
    AND ($credential IS NULL OR starts_with(d.credential_hash, $credential))
    AND ($since IS NULL OR d.occurred_at >= $since)
    AND ($until IS NULL OR d.occurred_at < $until)
GROUP BY d.outcome, d.reason, d.source
ORDER BY entries DESC, d.reason, d.source
