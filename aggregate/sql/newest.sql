-- The time of the newest event.
-- in:  events; $day, $start: UTC day and start of the newest window with usage
-- out: occurred_at; null: there is none
SELECT max(occurred_at) AS occurred_at
FROM events
WHERE event_day >= $day AND occurred_at >= $start
