-- How many requests each partner had in an hour.
-- in:  events; $start, $end, $days as for partner_traffic.sql
-- out: partner_id, requests
SELECT e.partner_id, count(*) AS requests
FROM events AS e
WHERE list_contains($days::DATE[], e.event_day) AND e.occurred_at >= $start AND e.occurred_at < $end
GROUP BY ALL
ORDER BY ALL
