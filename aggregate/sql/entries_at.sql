-- The number of entries that lines had when they were read.
-- in:  events, duplicates, dead, wanted(position); $source, $generation
-- out: position, entries; ordered
SELECT position, count(DISTINCT item) AS entries
FROM (
    SELECT source, generation, position, item FROM events
    UNION ALL
    SELECT source, generation, position, item FROM duplicates
    UNION ALL
    SELECT source, generation, position, item FROM dead
)
WHERE source = $source AND generation = $generation AND position IN (SELECT position FROM wanted)
GROUP BY position
ORDER BY position
