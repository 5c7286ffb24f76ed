-- The entries of each source and their outcomes, in the whole lake at the pinned versions.
-- in:  ingested, reads, topics, duplicates, dead, redriven, events (only those that count)
-- out: source, entries (all known entries), counted, duplicates, conflicts, refused (without entries that a redrive has
--      settled), on_the_way (read from a topic, but not yet written by all land workers), unexplained (entries that the
--      tables should hold at these versions and do not hold; 0 in an intact lake), last_event_at; ordered. Numbers are
--      HUGEINT. entries = counted + duplicates + conflicts + refused + on_the_way + unexplained
WITH known AS (
    -- As in aggregate/sql/books.sql. One commit reads and lands a file, so no entry of a file can be on its way (NULL).
    SELECT
        origin,
        CASE
            WHEN max(head_bytes) > 0 OR NOT EXISTS (SELECT 1 FROM topics) THEN NULL
            WHEN count(*) < (SELECT sum(partitions) FROM topics) THEN 0
            ELSE min(covered_to)
        END AS covered_to
    FROM (
        SELECT source, generation, origin, max(origin_to) AS covered_to, max(head_bytes) AS head_bytes
        FROM reads
        GROUP BY source, generation, origin
    )
    GROUP BY origin
),

reported AS (
    SELECT
        i.source,
        i.generation,
        sum(CASE
            WHEN k.covered_to IS NULL OR i.to_offset <= k.covered_to THEN i.records
            ELSE greatest(k.covered_to - i.from_offset, 0)
        END::HUGEINT * i.entries) AS due,
        sum(i.records::HUGEINT * i.entries) AS entries
    FROM ingested AS i
    LEFT JOIN known AS k ON k.origin = i.generation
    GROUP BY i.source, i.generation
),

rows AS (
    SELECT source, generation, position, occurred_at, 'counted' AS outcome, 1 AS n FROM events
    UNION ALL
    SELECT source, generation, position, NULL AS occurred_at, 'duplicates' AS outcome, 1 AS n FROM duplicates
    UNION ALL
    SELECT source, generation, position, NULL AS occurred_at, CASE outcome WHEN 'conflict' THEN 'conflicts' ELSE outcome END AS outcome, 1 AS n FROM dead
    UNION ALL
    SELECT source, generation, position, NULL AS occurred_at, 'refused' AS outcome, -1 AS n FROM redriven
),

stored AS (
    SELECT
        r.source,
        r.generation,
        coalesce(sum(r.n) FILTER (WHERE r.outcome = 'counted'), 0) AS counted,
        coalesce(sum(r.n) FILTER (WHERE r.outcome = 'duplicates'), 0) AS duplicates,
        coalesce(sum(r.n) FILTER (WHERE r.outcome = 'conflicts'), 0) AS conflicts,
        coalesce(sum(r.n) FILTER (WHERE r.outcome = 'refused'), 0) AS refused,
        coalesce(sum(r.n) FILTER (WHERE k.covered_to IS NULL OR r.position < k.covered_to), 0) AS due,
        sum(r.n) AS entries,
        max(r.occurred_at) AS last_event_at
    FROM rows AS r
    LEFT JOIN known AS k ON k.origin = r.generation
    GROUP BY r.source, r.generation
),

both_sides AS (
    SELECT
        coalesce(reported.source, stored.source) AS source,
        coalesce(stored.counted, 0) AS counted,
        coalesce(stored.duplicates, 0) AS duplicates,
        coalesce(stored.conflicts, 0) AS conflicts,
        coalesce(stored.refused, 0) AS refused,
        coalesce(reported.due, 0) - coalesce(stored.due, 0) AS unexplained,
        greatest(coalesce(reported.entries - reported.due, 0) - coalesce(stored.entries - stored.due, 0), 0) AS on_the_way,
        stored.last_event_at
    FROM reported
    FULL JOIN stored ON stored.source = reported.source AND stored.generation = reported.generation
)

SELECT
    source,
    sum(counted + duplicates + conflicts + refused + on_the_way + unexplained) AS entries,
    sum(counted) AS counted,
    sum(duplicates) AS duplicates,
    sum(conflicts) AS conflicts,
    sum(refused) AS refused,
    sum(on_the_way) AS on_the_way,
    sum(unexplained) AS unexplained,
    max(last_event_at) AS last_event_at
FROM both_sides
GROUP BY source
ORDER BY source
