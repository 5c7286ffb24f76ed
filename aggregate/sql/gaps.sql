-- Ranges that do not begin where the previous one ended, of a log partition or of an origin within one. There must be
-- none.
-- in:  reads
-- out: file (the log partition's name), generation (its own, or the origin's), expected_from, from_offset; ordered, at
--      most 20
WITH ranges AS (
    SELECT DISTINCT source, generation, from_offset, to_offset, file FROM reads
),

followed AS (
    SELECT file, generation, from_offset, lag(to_offset, 1, from_offset) OVER (PARTITION BY source, generation ORDER BY to_offset) AS expected_from
    FROM ranges
),

covered AS (
    SELECT
        file,
        origin,
        origin_from,
        max(origin_to) OVER (
            PARTITION BY source, generation, origin ORDER BY to_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS expected_from
    FROM reads
)

SELECT file, generation, expected_from, from_offset FROM followed WHERE from_offset != expected_from
UNION ALL
-- A redelivery may begin before the landed offset, but never after it.
SELECT file, origin AS generation, expected_from, origin_from AS from_offset FROM covered WHERE origin_from > expected_from
ORDER BY ALL
LIMIT 20
