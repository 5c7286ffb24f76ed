-- Refused entries with unknown or invalid credentials that no redrive has settled, grouped by credential.
-- in:  dead, redriven; $source, $credential (a prefix of its hash): VARCHAR or NULL (all); $since, $until: TIMESTAMPTZ
--      or NULL, of the event, [since, until)
-- out: source, reason, credential_hash (NULL for entries of versions without hashes), entries BIGINT, first_at, last_at
--      TIMESTAMPTZ; the most frequent first
SELECT
    d.source, d.reason, d.credential_hash, count(*)::BIGINT AS entries,
    min(d.occurred_at) AS first_at,
    max(d.occurred_at) AS last_at
FROM dead AS d
ANTI JOIN redriven AS r
    ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
WHERE d.outcome = 'refused'
    AND d.reason IN ('UNKNOWN_CREDENTIAL', 'CREDENTIAL_NOT_VALID')
    AND ($source IS NULL OR d.source = $source)
    AND ($credential IS NULL OR starts_with(d.credential_hash, $credential))
    AND ($since IS NULL OR d.occurred_at >= $since)
    AND ($until IS NULL OR d.occurred_at < $until)
GROUP BY d.source, d.reason, d.credential_hash
ORDER BY entries DESC, d.source, d.reason, d.credential_hash
