-- Rollups: sums of events by 15-minute window and key. Partial sums add up, so a fold of parts is a fold of the whole.
-- in:  events; $start, $end TIMESTAMPTZ, [start, end)
-- out: the columns of table rollups (schemas.tables.ROLLUPS), ordered by key
SELECT
    partner_id,
    make_timestamptz(epoch_us(occurred_at) // 900000000 * 900000000) AS window_start,
    source,
    service,
    method,
    route,
    status,
    count(*) AS requests,
    sum(coalesce(request_bytes, 0))::BIGINT AS request_bytes,
    sum(coalesce(response_bytes, 0))::BIGINT AS response_bytes,
    sum(coalesce(latency_us, 0))::BIGINT AS latency_us,
    events_partition,
    make_timestamptz(epoch_us(occurred_at) // 900000000 * 900000000)::DATE AS event_day
FROM events
WHERE occurred_at >= $start AND occurred_at < $end
GROUP BY ALL
ORDER BY ALL
