-- What each source gave, and what became of it. Whole lake, at the pinned versions.
-- in:  reads, duplicates, dead, events
-- out: source, entries, counted, duplicates, conflicts, refused, unexplained (entries less the rows that stand in the tables;
--      0 in a lake in order), last_event_at; ordered
WITH said AS (
    SELECT
        source,
        sum(entries)::BIGINT AS entries,
        sum(counted)::BIGINT AS counted,
        sum(duplicates)::BIGINT AS duplicates,
        sum(conflicts)::BIGINT AS conflicts,
        sum(refused)::BIGINT AS refused
    FROM reads
    GROUP BY source
),

kept AS (SELECT source, count(*) AS stored, max(occurred_at) AS last_event_at FROM events GROUP BY source),
resent AS (SELECT source, count(*) AS stored FROM duplicates GROUP BY source),
letters AS (SELECT source, count(*) AS stored FROM dead GROUP BY source)

SELECT
    said.source,
    said.entries,
    said.counted,
    said.duplicates,
    said.conflicts,
    said.refused,
    (said.entries - coalesce(kept.stored, 0) - coalesce(resent.stored, 0) - coalesce(letters.stored, 0))::BIGINT AS unexplained,
    kept.last_event_at
FROM said
LEFT JOIN kept ON kept.source = said.source
LEFT JOIN resent ON resent.source = said.source
LEFT JOIN letters ON letters.source = said.source
ORDER BY said.source
