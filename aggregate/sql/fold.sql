-- Rollups: the sums of events by 15-minute window and key. Partial sums add up, so a fold of parts equals a fold of the
--   whole. A sum that does not fit into 64 bits is spread over several rows of the same key; one of them has the
--   requests.
-- in:  events; $start, $end TIMESTAMPTZ, [start, end)
-- out: the columns of table rollups (schemas.tables.ROLLUPS), ordered by key
WITH sums AS (
    SELECT
        partner_id,
        epoch_us(occurred_at) // 900000000 * 900000000 AS window_us,
        source,
        service,
        method,
        route,
        status,
        count(*) AS requests,
        coalesce(sum(request_bytes), 0) AS request_bytes,
        coalesce(sum(response_bytes), 0) AS response_bytes,
        coalesce(sum(latency_us), 0) AS latency_us,
        events_partition
    FROM events
    WHERE occurred_at >= $start AND occurred_at < $end
    GROUP BY partner_id, window_us, source, service, method, route, status, events_partition
),

spread AS (
    -- Part n of a sum is the portion in [n × 2^62, (n + 1) × 2^62).
    SELECT *, unnest(range((greatest(request_bytes, response_bytes, latency_us) // 4611686018427387904)::BIGINT + 1)) AS n
    FROM sums
)

SELECT
    partner_id,
    make_timestamptz(window_us) AS window_start,
    source,
    service,
    method,
    route,
    status,
    CASE n WHEN 0 THEN requests ELSE 0 END AS requests,
    least(CASE n WHEN 0 THEN request_bytes ELSE greatest(request_bytes - n::HUGEINT * 4611686018427387904, 0) END, 4611686018427387904)::BIGINT AS request_bytes,
    least(CASE n WHEN 0 THEN response_bytes ELSE greatest(response_bytes - n::HUGEINT * 4611686018427387904, 0) END, 4611686018427387904)::BIGINT AS response_bytes,
    least(CASE n WHEN 0 THEN latency_us ELSE greatest(latency_us - n::HUGEINT * 4611686018427387904, 0) END, 4611686018427387904)::BIGINT AS latency_us,
    events_partition,
    make_timestamp(window_us)::DATE AS event_day
FROM spread
ORDER BY ALL
