-- in:  rollups; $partner_id; $start, $end TIMESTAMPTZ, [start, end)
-- out: requests BIGINT, one row
SELECT coalesce(sum(requests), 0)::BIGINT AS requests
FROM rollups
WHERE partner_id = $partner_id AND window_start >= $start AND window_start < $end
