-- The text of entries that ingest/strict_json.py is asked about. Ordered.
-- in:  entries, doubted(position, item)
-- out: position, item, line
SELECT entries.position, entries.item, entries.line
FROM entries
INNER JOIN doubted ON doubted.position = entries.position AND doubted.item = entries.item
WHERE starts_with(entries.line, '{') OR starts_with(entries.line, '[')
ORDER BY entries.position, entries.item
