-- The events of each span that its measured meter counts, with the value that each contributes. Only this statement
-- defines what a measured meter counts.
-- in:  events (only those that count); spans(span, partner_id, meter, span_start, span_end: TIMESTAMPTZ, [start,
--      end)); measured_meters(meter, counted, name, types VARCHAR[] (NULL: all), attributes STRUCT(name, "values"
--      VARCHAR[])[], itemize_by), with names as JSON pointers; meter_status, meter_filtered, meter_call, as for
--      metered.sql; $first_day, $last_day DATE, the UTC days of all spans
-- out: span, occurred_at, source, event_id, route, listed (the value of the attribute `itemize_by`), value VARCHAR; of
--      a number also whole HUGEINT and fraction BIGINT, in units of 10^-12 and with the sign of the number
WITH counted AS (
    SELECT
        s.span,
        e.occurred_at,
        e.source,
        e.event_id,
        e.route,
        json_extract_string(e.attributes, m.itemize_by) AS listed,
        m.counted != 'attribute' AS is_number,
        CASE m.counted
            WHEN 'requests' THEN '1'
            WHEN 'request_bytes' THEN coalesce(e.request_bytes, 0)::VARCHAR
            WHEN 'response_bytes' THEN coalesce(e.response_bytes, 0)::VARCHAR
            WHEN 'latency_us' THEN coalesce(e.latency_us, 0)::VARCHAR
            WHEN 'quantity' THEN json_extract_string(e.quantities, m.name)
            WHEN 'attribute' THEN json_extract_string(e.attributes, m.name)
        END AS value
    FROM events AS e
    INNER JOIN spans AS s
        ON s.partner_id = e.partner_id AND e.occurred_at >= s.span_start AND e.occurred_at < s.span_end
    INNER JOIN measured_meters AS m ON m.meter = s.meter
    INNER JOIN meter_status AS st ON st.meter = s.meter AND st.status = coalesce(e.status, 0)
    WHERE e.event_day BETWEEN $first_day::DATE AND $last_day::DATE
        AND (m.types IS NULL OR list_contains(m.types, e.event_type))
        AND len(list_filter(
            m.attributes,
            lambda asked: NOT coalesce(list_contains(asked.values, json_extract_string(e.attributes, asked.name)), false)
        )) = 0
        AND (
            s.meter NOT IN (SELECT meter FROM meter_filtered)
            OR (s.meter, coalesce(e.method, ''), coalesce(e.route, '')) IN (SELECT (meter, method, route) FROM meter_call)
        )
)

SELECT
    span, occurred_at, source, event_id, route, listed, value,
    CASE WHEN is_number THEN split_part(value, '.', 1)::HUGEINT END AS whole,
    CASE WHEN is_number
        THEN rpad(split_part(value, '.', 2), 12, '0')::BIGINT * CASE WHEN starts_with(value, '-') THEN -1 ELSE 1 END
    END AS fraction
FROM counted
WHERE value IS NOT NULL
