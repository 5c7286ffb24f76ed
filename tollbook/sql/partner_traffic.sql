-- The requests of partners in an hour, for metrics. Partners that are not shown share one row.
-- in:  events; shown(partner_id): the partners with a row of their own; $start, $end TIMESTAMPTZ, [start, end);
--      $other: the name of the shared row; $days: the UTC days of the hour, so that other days are not read
-- out: partner_id, requests, response_bytes, throttled, errors, latency_p95_us (NULL: no latency is known)
SELECT
    coalesce(s.partner_id, $other) AS partner_id,
    count(*) AS requests,
    coalesce(sum(e.response_bytes), 0) AS response_bytes,
    count(*) FILTER (e.status = 429) AS throttled,
    count(*) FILTER (e.status >= 500) AS errors,
    quantile_disc(e.latency_us, 0.95) AS latency_p95_us
FROM events AS e
LEFT JOIN shown AS s ON s.partner_id = e.partner_id
WHERE list_contains($days::DATE[], e.event_day) AND e.occurred_at >= $start AND e.occurred_at < $end
GROUP BY ALL
ORDER BY ALL
