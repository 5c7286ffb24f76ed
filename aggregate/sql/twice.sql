-- Event ids that are counted more than once. There must be none.
-- in:  events (those that count); $start, $end TIMESTAMPTZ, [start, end)
-- out: source, event_id, copies; ordered, at most 20
SELECT source, event_id, count(*) AS copies
FROM events
WHERE occurred_at >= $start AND occurred_at < $end
GROUP BY source, event_id
HAVING count(*) > 1
ORDER BY source, event_id
LIMIT 20
