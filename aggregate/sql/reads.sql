-- The outcomes of each origin as recorded by land workers, redrives and settlements, and as stored in the tables.
-- in:  reads, redriven, withdrawn, events (those that count), duplicates, dead
-- out: origin, file (a log partition's last name), counted, duplicates, conflicts, refused (by reads), and the stored_
--      rows of each; ordered
WITH reported AS (
    SELECT
        origin,
        max(file) AS file,
        sum(counted) AS counted,
        sum(duplicates) AS duplicates,
        sum(conflicts) AS conflicts,
        sum(refused) AS refused
    FROM (
        SELECT origin, file, counted, duplicates, conflicts, refused FROM reads
        UNION ALL
        SELECT
            generation AS origin,
            NULL AS file,
            count(*) FILTER (WHERE outcome = 'counted') AS counted,
            count(*) FILTER (WHERE outcome = 'duplicate') AS duplicates,
            count(*) FILTER (WHERE outcome = 'conflict') AS conflicts,
            0 AS refused  -- their rows in dead stay
        FROM redriven
        GROUP BY generation
        UNION ALL
        -- A withdrawn event was counted, and is now a conflict.
        SELECT generation AS origin, NULL AS file, -count(*) AS counted, 0 AS duplicates, count(*) AS conflicts, 0 AS refused
        FROM withdrawn
        GROUP BY generation
    )
    GROUP BY origin
),

kept AS (SELECT generation, count(*) AS rows FROM events GROUP BY generation),
resent AS (SELECT generation, count(*) AS rows FROM duplicates GROUP BY generation),
letters AS (
    SELECT
        generation,
        count(*) FILTER (WHERE outcome = 'conflict') AS conflicts,
        count(*) FILTER (WHERE outcome = 'refused') AS refused
    FROM dead
    GROUP BY generation
)

SELECT
    coalesce(reported.origin, kept.generation) AS origin,
    coalesce(reported.file, kept.generation) AS file,
    coalesce(reported.counted, 0) AS counted,
    coalesce(reported.duplicates, 0) AS duplicates,
    coalesce(reported.conflicts, 0) AS conflicts,
    coalesce(reported.refused, 0) AS refused,
    coalesce(kept.rows, 0) AS stored_counted,
    coalesce(resent.rows, 0) AS stored_duplicates,
    coalesce(letters.conflicts, 0) AS stored_conflicts,
    coalesce(letters.refused, 0) AS stored_refused
FROM reported
FULL JOIN kept ON kept.generation = reported.origin
LEFT JOIN resent ON resent.generation = reported.origin
LEFT JOIN letters ON letters.generation = reported.origin
ORDER BY origin
