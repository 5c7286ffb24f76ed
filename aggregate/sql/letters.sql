-- The refused entries that can be read again: the rows of table dead that no redrive has settled.
-- in:  dead, texts, redriven; $source; $generation, $reason: VARCHAR or NULL (all); $since, $until: TIMESTAMPTZ or
--      NULL, of the event, [since, until)
-- out: generation, position, item, event_id and raw (null if erased), occurred_at, reason, raw_sha256, is_whole (raw is
--      the line as it came: nothing was redacted), erased_by (null: not erased); ordered
SELECT
    d.generation, d.position, d.item, t.event_id, d.occurred_at, d.reason, t.raw, d.raw_sha256,
    coalesce(sha256(t.raw) = d.raw_sha256, FALSE) AS is_whole, t.erased_by
FROM dead AS d
LEFT JOIN texts AS t
    ON t.source = d.source AND t.generation = d.generation AND t.position = d.position AND t.item = d.item
    AND t.outcome = d.outcome
ANTI JOIN redriven AS r
    ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
WHERE d.outcome = 'refused'
    AND d.source = $source
    AND ($generation IS NULL OR d.generation = $generation)
    AND ($reason IS NULL OR d.reason = $reason)
    AND ($since IS NULL OR d.occurred_at >= $since)
    AND ($until IS NULL OR d.occurred_at < $until)
ORDER BY d.generation, d.position, d.item
