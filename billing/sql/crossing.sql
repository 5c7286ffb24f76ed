-- The events at which running sums reach levels.
-- in:  events (only those that count); levels(wanted, partner_id, meter, span_start, span_end, level), a row for
--      each answer, with the level in the field's unit; meters, meter_status, meter_filtered, meter_call, as for
--      metered.sql; $first_day, $last_day DATE, the UTC days of all spans
-- out: wanted, occurred_at of its event; no row for a level that is not reached; ordered
WITH running AS (
    SELECT
        w.wanted, w.level, e.occurred_at,
        sum(CASE m.field
            WHEN 'requests' THEN 1
            WHEN 'request_bytes' THEN coalesce(e.request_bytes, 0)
            WHEN 'response_bytes' THEN coalesce(e.response_bytes, 0)
            WHEN 'latency_us' THEN coalesce(e.latency_us, 0)
        END) OVER (PARTITION BY w.wanted ORDER BY e.occurred_at, e.generation, e.position, e.item) AS so_far
    FROM levels AS w
    INNER JOIN events AS e
        ON e.partner_id = w.partner_id AND e.occurred_at >= w.span_start AND e.occurred_at < w.span_end
    INNER JOIN meters AS m ON m.meter = w.meter
    INNER JOIN meter_status AS st ON st.meter = w.meter AND st.status = coalesce(e.status, 0)
    WHERE e.event_day BETWEEN $first_day::DATE AND $last_day::DATE
        AND (
            w.meter NOT IN (SELECT meter FROM meter_filtered)
            OR (w.meter, coalesce(e.method, ''), coalesce(e.route, '')) IN (SELECT (meter, method, route) FROM meter_call)
        )
)

SELECT wanted, min(occurred_at) AS occurred_at
FROM running
WHERE so_far >= level
GROUP BY wanted
ORDER BY wanted
