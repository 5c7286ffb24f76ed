-- The usage an invoice rests on, in full: its hash fixes it.
-- in:  rollups; $partner_id; $start, $end TIMESTAMPTZ, [start, end)
-- out: one row per key of rollups, summed, ordered by key
SELECT
    epoch_us(window_start) AS window_us, source, service, method, route, status,
    sum(requests) AS requests, sum(request_bytes) AS request_bytes,
    sum(response_bytes) AS response_bytes, sum(latency_us) AS latency_us
FROM rollups
WHERE partner_id = $partner_id AND window_start >= $start AND window_start < $end
GROUP BY ALL
ORDER BY ALL
