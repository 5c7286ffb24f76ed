-- How many entries some records were when they were read, as ingest has told.
-- in:  ingested, wanted(position); $source, $generation
-- out: position, entries; ordered
SELECT w.position, i.entries
FROM wanted AS w
INNER JOIN ingested AS i ON w.position >= i.from_offset AND w.position < i.to_offset
WHERE i.source = $source AND i.generation = $generation
ORDER BY w.position
