-- The load of partners by window, where it is a great share of all requests or bytes, beside that of the hour before.
-- in:  events; $first, $last: UTC days; $begin, $until: [begin, end) of the times that are read
--      $window_us; $hour: windows of an hour; $great: a share of 1/$great is great; $least: requests in the window
-- out: partner_id, window (number since the epoch), its requests, bytes and time_us, those of all partners (all_), the
--      same for the hour before (_before), windows_before (those of the hour before with requests); ordered
WITH counted AS (
    SELECT
        epoch_us(occurred_at) // $window_us AS "window",
        partner_id,
        count(*) AS requests,
        sum(coalesce(request_bytes, 0) + coalesce(response_bytes, 0)) AS bytes,
        sum(coalesce(latency_us, 0)) AS time_us
    FROM events
    WHERE event_day BETWEEN $first AND $last AND occurred_at >= $begin AND occurred_at < $until
    GROUP BY ALL
),

totals AS (
    SELECT "window", sum(requests) AS requests, sum(bytes) AS bytes, sum(time_us) AS time_us
    FROM counted
    GROUP BY "window"
),

great AS (
    SELECT
        c.partner_id,
        c."window",
        c.requests,
        c.bytes,
        c.time_us,
        t.requests AS all_requests,
        t.bytes AS all_bytes,
        t.time_us AS all_time_us
    FROM counted AS c
    INNER JOIN totals AS t ON t."window" = c."window"
    WHERE c.requests >= $least AND (c.requests * $great >= t.requests OR c.bytes * $great >= t.bytes)
),

own_before AS (
    SELECT
        g.partner_id,
        g."window",
        sum(c.requests) AS requests,
        sum(c.bytes) AS bytes,
        sum(c.time_us) AS time_us
    FROM great AS g
    INNER JOIN counted AS c
        ON c.partner_id = g.partner_id AND c."window" >= g."window" - $hour AND c."window" < g."window"
    GROUP BY ALL
),

all_before AS (
    SELECT
        g."window",
        sum(t.requests) AS requests,
        sum(t.bytes) AS bytes,
        sum(t.time_us) AS time_us,
        count(*) AS windows
    FROM (SELECT DISTINCT "window" FROM great) AS g
    INNER JOIN totals AS t ON t."window" >= g."window" - $hour AND t."window" < g."window"
    GROUP BY ALL
)

SELECT
    g.partner_id,
    g."window",
    g.requests,
    g.bytes,
    g.time_us,
    g.all_requests,
    g.all_bytes,
    g.all_time_us,
    coalesce(o.requests, 0) AS requests_before,
    coalesce(o.bytes, 0) AS bytes_before,
    coalesce(o.time_us, 0) AS time_us_before,
    coalesce(a.requests, 0) AS all_requests_before,
    coalesce(a.bytes, 0) AS all_bytes_before,
    coalesce(a.time_us, 0) AS all_time_us_before,
    coalesce(a.windows, 0) AS windows_before
FROM great AS g
LEFT JOIN own_before AS o ON o.partner_id = g.partner_id AND o."window" = g."window"
LEFT JOIN all_before AS a ON a."window" = g."window"
ORDER BY g.partner_id, g."window"
