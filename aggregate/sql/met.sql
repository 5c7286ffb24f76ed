-- Whether commits that came in between have counted one of some entries.
-- in:  added (files of table events), fresh(source, event_id)
-- out: event_id; at most 1
SELECT f.event_id
FROM fresh AS f
SEMI JOIN added AS a ON a.source = f.source AND a.event_id = f.event_id
LIMIT 1
