-- The usage of each span by window and key. Only this statement defines what a meter counts: alerts, usage tables,
-- notebooks and invoices all sum its rows.
-- in:  sums: the rollups, or the same summed by piece of time (pieces_summed.sql); spans(span, partner_id, meter,
--      span_start, span_end: TIMESTAMPTZ, [start, end)); meters(meter, field);
--      meter_status(meter, status); meter_filtered(meter), the meters that filter by method or route; meter_call(meter,
--      method, route): the methods and routes that those meters count, '' if the log had none
-- out: span, partner_id, meter, window_start, source, service, method, route, status, events_partition, quantity
--      HUGEINT in the field's unit
SELECT
    s.span,
    s.partner_id,
    s.meter,
    r.window_start,
    r.source,
    r.service,
    r.method,
    r.route,
    r.status,
    r.events_partition,
    CASE m.field
        WHEN 'requests' THEN r.requests
        WHEN 'request_bytes' THEN r.request_bytes
        WHEN 'response_bytes' THEN r.response_bytes
        WHEN 'latency_us' THEN r.latency_us
    END AS quantity
FROM sums AS r
INNER JOIN spans AS s
    ON s.partner_id = r.partner_id AND r.window_start >= s.span_start AND r.window_start < s.span_end
INNER JOIN meters AS m ON m.meter = s.meter
INNER JOIN meter_status AS st ON st.meter = s.meter AND st.status = coalesce(r.status, 0)
WHERE s.meter NOT IN (SELECT meter FROM meter_filtered)
    OR (s.meter, coalesce(r.method, ''), coalesce(r.route, '')) IN (SELECT (meter, method, route) FROM meter_call)
