-- Hashes of what measured meters may count of one UTC day: its events with a type, quantities or attributes, as
-- integers and length-prefixed strings, in a fixed order.
-- in:  events (only those that count); spans(partner_id, span_start, span_end: TIMESTAMPTZ, [start, end)), one per
--      partner; $day DATE
-- out: partner_id, sha256: one row per partner with such events; ordered
WITH written AS (
    SELECT
        e.partner_id,
        epoch_us(e.occurred_at)::VARCHAR
        || ' ' || strlen(e.source)::VARCHAR || ':' || e.source
        || ' ' || strlen(e.event_id)::VARCHAR || ':' || e.event_id
        || ' ' || coalesce(strlen(e.event_type)::VARCHAR || ':' || e.event_type, '-')
        || ' ' || coalesce(strlen(e.quantities)::VARCHAR || ':' || e.quantities, '-')
        || ' ' || coalesce(strlen(e.attributes)::VARCHAR || ':' || e.attributes, '-')
        || ' ' || coalesce(strlen(e.method)::VARCHAR || ':' || e.method, '-')
        || ' ' || coalesce(strlen(e.route)::VARCHAR || ':' || e.route, '-')
        || ' ' || coalesce(e.status::VARCHAR, '-')
        || ' ' || coalesce(e.request_bytes, 0)::VARCHAR || ' ' || coalesce(e.response_bytes, 0)::VARCHAR
        || ' ' || coalesce(e.latency_us, 0)::VARCHAR AS line
    FROM events AS e
    INNER JOIN spans AS s
        ON s.partner_id = e.partner_id AND e.occurred_at >= s.span_start AND e.occurred_at < s.span_end
    WHERE e.event_day = $day::DATE
        AND (e.event_type IS NOT NULL OR e.quantities IS NOT NULL OR e.attributes IS NOT NULL)
)

SELECT partner_id, sha256(string_agg(line, chr(10) ORDER BY line)) AS sha256
FROM written
GROUP BY partner_id
ORDER BY partner_id
