-- Rollups: sums of events by 15-minute window and key. Partial sums add up, so a fold of parts is a fold of the whole.
-- An event with a number of 10^12 or more (a terabyte, eleven days) is a row of its own: some hundred of them would not fit into
-- one sum, and the worker that cannot write it would end for ever.
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
GROUP BY
    partner_id, epoch_us(occurred_at) // 900000000, source, service, method, route, status, events_partition,
    CASE WHEN greatest(request_bytes, response_bytes, latency_us) >= 1000000000000 THEN event_id END
ORDER BY ALL
