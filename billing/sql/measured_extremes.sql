-- The smallest, the greatest and the last quantity. Of two events at one instant, the last is the one with the greater
-- source, and of one source the one with the greater id, compared as text.
-- in:  measured
-- out: span, min, max, latest VARCHAR: one row per span with events
SELECT
    span,
    arg_min(value, (whole, fraction)) AS min,
    arg_max(value, (whole, fraction)) AS max,
    arg_max(value, (occurred_at, source, event_id)) AS latest
FROM measured
GROUP BY span
ORDER BY span
