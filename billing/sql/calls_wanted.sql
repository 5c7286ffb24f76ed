-- The distinct methods and routes of events within spans.
-- in:  events; levels(partner_id, span_start, span_end); $first_day, $last_day DATE, the UTC days of all spans
-- out: method, route: '' if the log had none; one row per pair
SELECT DISTINCT coalesce(e.method, '') AS method, coalesce(e.route, '') AS route
FROM events AS e
SEMI JOIN levels AS w
    ON e.partner_id = w.partner_id AND e.occurred_at >= w.span_start AND e.occurred_at < w.span_end
WHERE e.event_day BETWEEN CAST($first_day AS DATE) AND CAST($last_day AS DATE)
