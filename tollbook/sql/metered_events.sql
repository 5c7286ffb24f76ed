-- The events behind a usage figure: one row per event and meter that counts it, with the place of its line. The filters
-- are those of billing/sql/metered.sql, which reads rollups. A test keeps the two equal.
-- in:  events (the counted ones), reads; units, partners as for usage.sql; meters(meter, field), meter_status(meter,
--      status), meter_filtered(meter), meter_call(meter, method, route) as for metered.sql
-- out: partner_id, meter, unit, window_start, occurred_at, event_id, source, service, method, route, status, quantity
--      DECIMAL in `unit`, file (its last known name), position (byte offset in its decompressed text), item, event_day
WITH files AS (
    SELECT source, generation, arg_max(file, to_offset) AS file
    FROM reads
    GROUP BY source, generation
)

SELECT
    e.partner_id,
    m.meter,
    u.unit,
    make_timestamptz(epoch_us(e.occurred_at) // 900000000 * 900000000) AS window_start,
    e.occurred_at,
    e.event_id,
    e.source,
    e.service,
    e.method,
    e.route,
    e.status,
    CASE m.field
        WHEN 'requests' THEN 1
        WHEN 'request_bytes' THEN coalesce(e.request_bytes, 0)
        WHEN 'response_bytes' THEN coalesce(e.response_bytes, 0)
        WHEN 'latency_us' THEN coalesce(e.latency_us, 0)
    END::DECIMAL(38, 0) * u.per_unit AS quantity,
    f.file,
    e.position,
    e.item,
    e.event_day
FROM events AS e
INNER JOIN partners AS p ON p.partner_id = e.partner_id
CROSS JOIN meters AS m
INNER JOIN units AS u ON u.meter = m.meter
INNER JOIN meter_status AS st ON st.meter = m.meter AND st.status = coalesce(e.status, 0)
LEFT JOIN files AS f ON f.source = e.source AND f.generation = e.generation
WHERE m.meter NOT IN (SELECT meter FROM meter_filtered)
    OR (m.meter, coalesce(e.method, ''), coalesce(e.route, '')) IN (SELECT (meter, method, route) FROM meter_call)
