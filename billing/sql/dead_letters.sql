-- Entries that are not counted, with all columns. A refused entry that a redrive has settled is left out, unless
-- $letter names it.
-- in:  dead, texts, redriven; $reason, $source, $credential (a prefix of its hash): VARCHAR or NULL (all); $since,
--      $until: TIMESTAMPTZ or NULL, of the event, [since, until); $letter: VARCHAR, a prefix of a letter's name, or
--      NULL; $limit
-- out: letter (its name, a hash of its coordinates), the columns of dead, those of texts (event_id, detail, raw: NULL
--      if they were erased; erased_at, erased_by: NULL if not), became (the result of a redrive, or NULL); in log
--      order, at most $limit
WITH named AS (
    SELECT left(sha256(concat_ws(chr(0), outcome, source, generation, position, item)), 12) AS letter, *
    FROM dead
),

chosen AS (
    SELECT
        d.letter, d.outcome, d.reason, d.source, d.generation, d.position, d.item, d.partner_id, d.occurred_at, d.raw_sha256,
        r.outcome AS became
    FROM named AS d
    LEFT JOIN redriven AS r
        ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
        AND d.outcome = 'refused'
    WHERE ($reason IS NULL OR d.reason = $reason)
        AND ($source IS NULL OR d.source = $source)
        AND ($credential IS NULL OR starts_with(d.credential_hash, $credential))
        AND ($since IS NULL OR d.occurred_at >= $since)
        AND ($until IS NULL OR d.occurred_at < $until)
        AND CASE WHEN $letter IS NULL THEN r.outcome IS NULL ELSE starts_with(d.letter, $letter) END
    ORDER BY d.source, d.generation, d.position, d.item
    LIMIT $limit
)

SELECT
    d.letter, d.outcome, d.reason, t.detail, d.source, d.generation, d.position, d.item, t.event_id, d.partner_id, d.occurred_at,
    t.raw, d.raw_sha256, d.became, t.erased_at, t.erased_by
FROM chosen AS d
LEFT JOIN texts AS t
    ON t.source = d.source AND t.generation = d.generation AND t.position = d.position AND t.item = d.item
    AND t.outcome = d.outcome
ORDER BY d.source, d.generation, d.position, d.item
