-- Keys whose rollups differ from the sum of their events. There must be none.
-- in:  folded (aggregate/sql/fold.sql over the events), rollups; $start, $end TIMESTAMPTZ, [start, end), whole windows
-- out: partner_id, window_start, requests by events and by rollups; ordered, at most 20
WITH by_events AS (
    SELECT
        partner_id, window_start, source, service, method, route, status, events_partition,
        sum(requests) AS requests, sum(request_bytes) AS request_bytes,
        sum(response_bytes) AS response_bytes, sum(latency_us) AS latency_us
    FROM folded
    GROUP BY ALL
),

by_rollups AS (
    SELECT
        partner_id, window_start, source, service, method, route, status, events_partition,
        sum(requests) AS requests, sum(request_bytes) AS request_bytes,
        sum(response_bytes) AS response_bytes, sum(latency_us) AS latency_us
    FROM rollups
    WHERE window_start >= $start AND window_start < $end
    GROUP BY ALL
    -- Sums of withdrawn events have no event.
    HAVING sum(requests) != 0 OR sum(request_bytes) != 0 OR sum(response_bytes) != 0 OR sum(latency_us) != 0
)

SELECT
    coalesce(e.partner_id, r.partner_id) AS partner_id,
    coalesce(e.window_start, r.window_start) AS window_start,
    e.requests AS requests_by_events,
    r.requests AS requests_by_rollups
FROM by_events AS e
FULL JOIN by_rollups AS r
    ON r.partner_id = e.partner_id AND r.window_start = e.window_start AND r.source = e.source
    AND r.events_partition IS NOT DISTINCT FROM e.events_partition
    AND r.service IS NOT DISTINCT FROM e.service AND r.method IS NOT DISTINCT FROM e.method
    AND r.route IS NOT DISTINCT FROM e.route AND r.status IS NOT DISTINCT FROM e.status
WHERE e.requests IS DISTINCT FROM r.requests OR e.request_bytes IS DISTINCT FROM r.request_bytes
    OR e.response_bytes IS DISTINCT FROM r.response_bytes OR e.latency_us IS DISTINCT FROM r.latency_us
ORDER BY ALL
LIMIT 20
