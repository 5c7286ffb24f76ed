-- The event with which a running sum reaches a level, within one window.
-- in:  events; meters, meter_status, meter_method, meter_route of one meter; $partner_id, $window_start, $window_end TIMESTAMPTZ,
--      $before and $level DECIMAL in the field's unit: the sum up to the window, and the sum to reach
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
    WHERE e.partner_id = $partner_id AND e.occurred_at >= $window_start AND e.occurred_at < $window_end
        AND (NOT EXISTS (SELECT 1 FROM meter_method) OR e.method IN (SELECT method FROM meter_method))
        AND (NOT EXISTS (SELECT 1 FROM meter_route) OR e.route IN (SELECT route FROM meter_route))
)

SELECT occurred_at
FROM running
WHERE $before + so_far >= $level
ORDER BY occurred_at, generation, position, item
LIMIT 1
