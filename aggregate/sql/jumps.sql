-- Hours with far more or fewer requests of a partner than the same hour of the four weeks before
-- (aggregate/alerts/detectors/jump.py). Windows and hours are numbers since the epoch.
-- in:  rollups; $days: UTC days; $read: these and the days 7, 14, 21 and 28 days before; $first: the first of $read;
--      $factor, $difference: how much more or fewer; $weeks: earlier weeks with a request in the hour that are needed
-- out: partner_id, direction (above, below), hour, requests, most, least (of the earlier weeks), weeks; ordered
WITH by_source AS (
    SELECT partner_id, source, epoch_us(window_start) // 900000000 AS w, sum(requests) AS requests
    FROM rollups
    WHERE list_contains($read::DATE[], event_day)
    GROUP BY ALL
    HAVING sum(requests) > 0
),

hours AS (
    SELECT partner_id, w // 4 AS hour, sum(requests) AS requests
    FROM by_source
    GROUP BY ALL
),

newest AS (
    SELECT source, epoch_us(max(window_start)) // 900000000 AS w
    FROM rollups
    WHERE event_day >= $first AND requests > 0
    GROUP BY source
),

seen AS (
    SELECT used.partner_id, used.hour, min(newest.w) AS w
    FROM (
        SELECT partner_id, source, w // 4 + 168 * weeks.k AS hour
        FROM by_source
        CROSS JOIN range(0, 5) AS weeks (k)
    ) AS used
    INNER JOIN newest ON newest.source = used.source
    GROUP BY used.partner_id, used.hour
),

compared AS (
    SELECT
        n.partner_id, n.hour, n.requests, count(*) AS weeks,
        max(e.requests) AS most,
        min(e.requests) AS least
    FROM hours AS n
    INNER JOIN hours AS e ON e.partner_id = n.partner_id AND n.hour - e.hour IN (168, 336, 504, 672)
    WHERE list_contains($days::DATE[], DATE '1970-01-01' + (n.hour // 24)::INTEGER)
    GROUP BY n.partner_id, n.hour, n.requests
    HAVING count(*) >= $weeks
)

SELECT c.partner_id, 'above' AS direction, c.hour, c.requests, c.most, c.least, c.weeks
FROM compared AS c
WHERE c.requests > $factor * c.most AND c.requests - c.most >= $difference
UNION ALL
SELECT c.partner_id, 'below' AS direction, c.hour, c.requests, c.most, c.least, c.weeks
FROM compared AS c
INNER JOIN seen AS s ON s.partner_id = c.partner_id AND s.hour = c.hour
WHERE $factor * c.requests < c.least AND c.least - c.requests >= $difference AND c.hour * 4 + 4 <= s.w
ORDER BY partner_id, direction, hour
