-- The spans in which some rollups were added.
-- in:  rollups(partner_id, window_start), spans(span, partner_id, span_start, span_end)
-- out: span; one row per span with at least one rollup in [span_start, span_end)
SELECT DISTINCT s.span AS span
FROM spans AS s
JOIN rollups AS r
    ON r.partner_id = s.partner_id AND r.window_start >= s.span_start AND r.window_start < s.span_end
ORDER BY s.span
