-- The event at which a running sum reaches a level.
-- in:  events (only those that count); meters, meter_status, meter_filtered, meter_call of one meter, as for
--      metered.sql; $partner_id, [$start, $end) TIMESTAMPTZ, $level DECIMAL in the field's unit
-- out: occurred_at of that event, or no row
WITH running AS (
    SELECT
        e.occurred_at, e.generation, e.position, e.item,
        sum(CASE m.field
            WHEN 'requests' THEN 1
            WHEN 'request_bytes' THEN coalesce(e.request_bytes, 0)
            WHEN 'response_bytes' THEN coalesce(e.response_bytes, 0)
            WHEN 'latency_us' THEN coalesce(e.latency_us, 0)
        END) OVER (ORDER BY e.occurred_at, e.generation, e.position, e.item) AS so_far
    FROM events AS e
    CROSS JOIN meters AS m
    INNER JOIN meter_status AS st ON st.status = coalesce(e.status, 0)
    WHERE e.partner_id = $partner_id AND e.occurred_at >= $start AND e.occurred_at < $end
        AND (
            m.meter NOT IN (SELECT meter FROM meter_filtered)
            OR (coalesce(e.method, ''), coalesce(e.route, '')) IN (SELECT (method, route) FROM meter_call)
        )
)

SELECT occurred_at
FROM running
WHERE so_far >= $level
ORDER BY occurred_at, generation, position, item
LIMIT 1
