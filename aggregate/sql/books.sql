-- The books: how many entries ingest reported for each source and origin, and their outcomes. An origin is compared up
-- to the offset that every one of its log partitions has reached; entries beyond it are on the way.
-- in:  ingested, reads, topics, events (those that count), duplicates, dead, redriven
-- out: source, generation (the origin), file (its last name, of files), entries, counted, duplicates, conflicts,
--      refused (redriven entries count by their new outcome), on_the_way (entries that were read but not yet landed
--      everywhere); ordered. Numbers are HUGEINT
WITH known AS (
    -- The offset below which the log partitions have reported an origin. A file is one partition; an origin in a topic
    -- is spread over all partitions of all topics that are landed.
    SELECT
        origin,
        CASE
            WHEN max(head_bytes) > 0 OR NOT EXISTS (SELECT 1 FROM topics) THEN max(covered_to)
            WHEN count(*) < (SELECT sum(partitions) FROM topics) THEN 0
            ELSE min(covered_to)
        END AS covered_to,
        max(file) FILTER (WHERE head_bytes > 0) AS file
    FROM (
        SELECT source, generation, origin, max(origin_to) AS covered_to, max(head_bytes) AS head_bytes, arg_max(file, to_offset) AS file
        FROM reads
        GROUP BY source, generation, origin
    )
    GROUP BY origin
),

reported AS (
    SELECT
        i.source,
        i.generation,
        -- All entries of an origin that no partition has reported (NULL) are compared, and none is on the way, as in
        -- billing/sql/completeness.sql.
        sum(CASE
            WHEN k.covered_to IS NULL OR i.to_offset <= k.covered_to THEN i.records
            ELSE greatest(k.covered_to - i.from_offset, 0)
        END::HUGEINT * i.entries) AS entries,
        sum(i.records::HUGEINT * i.entries) AS all_entries
    FROM ingested AS i
    LEFT JOIN known AS k ON k.origin = i.generation
    GROUP BY i.source, i.generation
),

rows AS (
    SELECT source, generation, position, 'counted' AS outcome, 1 AS n FROM events
    UNION ALL
    SELECT source, generation, position, 'duplicates' AS outcome, 1 AS n FROM duplicates
    UNION ALL
    SELECT source, generation, position, CASE outcome WHEN 'conflict' THEN 'conflicts' ELSE outcome END AS outcome, 1 AS n FROM dead
    UNION ALL
    SELECT source, generation, position, 'refused' AS outcome, -1 AS n FROM redriven
),

stored AS (
    SELECT
        r.source,
        r.generation,
        sum(r.n) FILTER (WHERE r.outcome = 'counted') AS counted,
        sum(r.n) FILTER (WHERE r.outcome = 'duplicates') AS duplicates,
        sum(r.n) FILTER (WHERE r.outcome = 'conflicts') AS conflicts,
        sum(r.n) FILTER (WHERE r.outcome = 'refused') AS refused
    FROM rows AS r
    LEFT JOIN known AS k ON k.origin = r.generation
    WHERE k.covered_to IS NULL OR r.position < k.covered_to
    GROUP BY r.source, r.generation
)

SELECT
    coalesce(reported.source, stored.source) AS source,
    coalesce(reported.generation, stored.generation) AS generation,
    known.file,
    coalesce(reported.entries, 0) AS entries,
    coalesce(stored.counted, 0) AS counted,
    coalesce(stored.duplicates, 0) AS duplicates,
    coalesce(stored.conflicts, 0) AS conflicts,
    coalesce(stored.refused, 0) AS refused,
    coalesce(reported.all_entries - reported.entries, 0) AS on_the_way
FROM reported
FULL JOIN stored ON stored.source = reported.source AND stored.generation = reported.generation
LEFT JOIN known ON known.origin = coalesce(reported.generation, stored.generation)
ORDER BY source, generation
