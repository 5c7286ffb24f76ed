-- The sums of rollups by their whole key.
-- in:  rollups
-- out: the key, requests, request_bytes, response_bytes, latency_us HUGEINT
SELECT
    partner_id,
    window_start,
    source,
    service,
    method,
    route,
    status,
    events_partition,
    event_day,
    sum(requests) AS requests,
    sum(request_bytes) AS request_bytes,
    sum(response_bytes) AS response_bytes,
    sum(latency_us) AS latency_us
FROM rollups
GROUP BY ALL
