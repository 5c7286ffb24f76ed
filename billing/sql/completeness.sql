-- What each source gave, and what became of it. Whole lake, at the pinned versions.
-- in:  ingested, duplicates, dead, redriven, events
-- out: source, entries (what ingest says it read), counted, duplicates, conflicts, refused (without those that a
--      redrive has settled), unexplained (entries less the
--      rows that stand in the tables; 0 in a lake in order, unless some are still on their way), last_event_at; ordered
WITH said AS (SELECT source, sum(records * entries)::BIGINT AS entries FROM ingested GROUP BY source),
kept AS (SELECT source, count(*) AS stored, max(occurred_at) AS last_event_at FROM events GROUP BY source),
resent AS (SELECT source, count(*) AS stored FROM duplicates GROUP BY source),
letters AS (
    SELECT
        source,
        count(*) FILTER (WHERE outcome = 'conflict') AS conflicts,
        count(*) FILTER (WHERE outcome = 'refused') - count(*) FILTER (WHERE outcome = 'redriven') AS refused
    FROM (
        SELECT source, outcome FROM dead
        UNION ALL
        SELECT source, 'redriven' AS outcome FROM redriven
    )
    GROUP BY source
)

SELECT
    said.source,
    said.entries,
    coalesce(kept.stored, 0)::BIGINT AS counted,
    coalesce(resent.stored, 0)::BIGINT AS duplicates,
    coalesce(letters.conflicts, 0)::BIGINT AS conflicts,
    coalesce(letters.refused, 0)::BIGINT AS refused,
    (
        said.entries - coalesce(kept.stored, 0) - coalesce(resent.stored, 0) - coalesce(letters.conflicts, 0)
        - coalesce(letters.refused, 0)
    )::BIGINT AS unexplained,
    kept.last_event_at
FROM said
LEFT JOIN kept ON kept.source = said.source
LEFT JOIN resent ON resent.source = said.source
LEFT JOIN letters ON letters.source = said.source
ORDER BY said.source
