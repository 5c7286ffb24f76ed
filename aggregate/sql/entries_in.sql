-- The number of entries that records had when they were read, as reported by ingest.
-- in:  ingested, wanted(position); $source, $generation
-- out: position, entries; ordered
SELECT w.position, i.entries
FROM wanted AS w
INNER JOIN ingested AS i ON w.position >= i.from_offset AND w.position < i.to_offset
WHERE i.source = $source AND i.generation = $generation
ORDER BY w.position
