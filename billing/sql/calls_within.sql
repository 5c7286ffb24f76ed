-- The distinct methods and routes of a partner's events between two instants.
-- in:  events; $partner_id, [$start, $end) TIMESTAMPTZ
-- out: method, route: '' if the log had none; one row per pair
SELECT DISTINCT coalesce(method, '') AS method, coalesce(route, '') AS route
FROM events
WHERE partner_id = $partner_id AND occurred_at >= $start AND occurred_at < $end
