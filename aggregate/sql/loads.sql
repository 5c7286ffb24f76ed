-- The load of the partners with the most requests by window, and of all partners together.
-- in:  events; $first, $last: UTC days; $begin, $until: [begin, end) of the times that are read; $window_us
--      $top: how many partners; $own: ids of partners that are in the result as well
-- out: partner_id (null: all partners together), window (number since the epoch), requests, bytes, time_us; ordered
WITH counted AS (
    SELECT
        partner_id,
        epoch_us(occurred_at) // $window_us AS "window",
        count(*) AS requests,
        sum(coalesce(request_bytes, 0) + coalesce(response_bytes, 0)) AS bytes,
        sum(coalesce(latency_us, 0)) AS time_us
    FROM events
    WHERE event_day BETWEEN $first AND $last AND occurred_at >= $begin AND occurred_at < $until
    GROUP BY ALL
),

most AS (
    SELECT partner_id
    FROM counted
    GROUP BY partner_id
    ORDER BY sum(requests) DESC, partner_id
    LIMIT $top
)

SELECT partner_id, "window", requests, bytes, time_us
FROM counted
WHERE partner_id IN (SELECT partner_id FROM most) OR list_contains($own, partner_id)
UNION ALL
SELECT NULL AS partner_id, "window", sum(requests) AS requests, sum(bytes) AS bytes, sum(time_us) AS time_us
FROM counted
GROUP BY "window"
ORDER BY partner_id NULLS FIRST, "window"
