-- The books per file: what `reads` says became of the entries, and what the tables hold.
-- in:  reads, events, duplicates, dead
-- out: source, generation, file, entries, counted, duplicates, conflicts, refused (by reads), and the stored_ rows of each;
--      gaps: how many ranges do not begin where the one before ended; ordered
WITH ranges AS (
    SELECT
        source, generation, file, entries, counted, duplicates, conflicts, refused, from_offset, to_offset,
        lag(to_offset, 1, 0) OVER (PARTITION BY source, generation ORDER BY to_offset) AS expected_from
    FROM reads
),

said AS (
    SELECT
        source,
        generation,
        arg_max(file, to_offset) AS file,
        sum(entries)::BIGINT AS entries,
        sum(counted)::BIGINT AS counted,
        sum(duplicates)::BIGINT AS duplicates,
        sum(conflicts)::BIGINT AS conflicts,
        sum(refused)::BIGINT AS refused,
        count(*) FILTER (WHERE from_offset != expected_from) AS gaps
    FROM ranges
    GROUP BY source, generation
),

kept AS (SELECT source, generation, count(*) AS rows FROM events GROUP BY source, generation),
resent AS (SELECT source, generation, count(*) AS rows FROM duplicates GROUP BY source, generation),
letters AS (
    SELECT
        source, generation,
        count(*) FILTER (WHERE outcome = 'conflict') AS conflicts,
        count(*) FILTER (WHERE outcome = 'refused') AS refused
    FROM dead
    GROUP BY source, generation
)

SELECT
    coalesce(said.source, kept.source) AS source,
    coalesce(said.generation, kept.generation) AS generation,
    said.file,
    coalesce(said.entries, 0) AS entries,
    coalesce(said.counted, 0) AS counted,
    coalesce(said.duplicates, 0) AS duplicates,
    coalesce(said.conflicts, 0) AS conflicts,
    coalesce(said.refused, 0) AS refused,
    coalesce(kept.rows, 0) AS stored_counted,
    coalesce(resent.rows, 0) AS stored_duplicates,
    coalesce(letters.conflicts, 0) AS stored_conflicts,
    coalesce(letters.refused, 0) AS stored_refused,
    coalesce(said.gaps, 0) AS gaps
FROM said
FULL JOIN kept ON kept.source = said.source AND kept.generation = said.generation
LEFT JOIN resent ON resent.source = said.source AND resent.generation = said.generation
LEFT JOIN letters ON letters.source = said.source AND letters.generation = said.generation
ORDER BY source, generation
