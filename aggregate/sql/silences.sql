-- Times without a request of partners that always send at that hour of the week
-- (aggregate/alerts/detectors/silence.py). Windows and hours are numbers since the epoch: 4 windows in an hour, 672 in
-- a week.
-- in:  rollups; $first: the first window that is examined; $first_day: the UTC day 28 days before it; $busy: requests
--      of a busy window
-- out: partner_id, began (window), resumed (the first window with a request after it; NULL: none yet), last (the last
--      window with a request before it), seen (the window up to which is known that there is none), usual BIGINT (the
--      fewest requests in the same hour of the four weeks before); ordered
WITH by_source AS (
    SELECT partner_id, source, epoch_us(window_start) // 900000000 AS w, sum(requests) AS requests
    FROM rollups
    WHERE event_day >= $first_day
    GROUP BY ALL
    HAVING sum(requests) > 0
),

windows AS (
    SELECT partner_id, w, sum(requests) AS requests
    FROM by_source
    GROUP BY ALL
),

newest AS (
    SELECT source, max(w) AS w
    FROM by_source
    GROUP BY source
),

-- The newest window of a source may be incomplete, and a source that is late says nothing about its partners.
seen AS (
    SELECT used.partner_id, min(newest.w) AS w
    FROM (
        SELECT partner_id, source, max(w) AS w, max(max(w)) OVER (PARTITION BY partner_id) AS latest
        FROM by_source
        GROUP BY partner_id, source
    ) AS used
    INNER JOIN newest ON newest.source = used.source
    WHERE used.w >= used.latest - 96
    GROUP BY used.partner_id
),

expected AS (
    SELECT busy.partner_id, busy.hour + 168 * weeks.k AS hour
    FROM (
        SELECT partner_id, w // 4 AS hour
        FROM windows
        WHERE requests >= $busy
        GROUP BY ALL
        HAVING count(*) = 4
    ) AS busy
    CROSS JOIN range(1, 5) AS weeks (k)
    GROUP BY ALL
    HAVING count(*) = 4
),

empty AS (
    SELECT e.partner_id, e.hour * 4 + quarters.q AS w, s.w AS seen
    FROM expected AS e
    CROSS JOIN range(0, 4) AS quarters (q)
    INNER JOIN seen AS s ON s.partner_id = e.partner_id
    ANTI JOIN windows AS n ON n.partner_id = e.partner_id AND n.w = e.hour * 4 + quarters.q
    WHERE e.hour * 4 + quarters.q >= $first AND e.hour * 4 + quarters.q < s.w
),

pairs AS (
    SELECT a.partner_id, a.w, a.seen
    FROM empty AS a
    SEMI JOIN empty AS b ON b.partner_id = a.partner_id AND b.w = a.w + 1
),

found AS (
    SELECT p.partner_id, min(p.w) AS began, n.w AS resumed, any_value(p.seen) AS seen
    FROM pairs AS p
    ASOF LEFT JOIN windows AS n ON n.partner_id = p.partner_id AND n.w > p.w
    GROUP BY p.partner_id, n.w
)

SELECT
    f.partner_id, f.began, f.resumed, l.w AS last, f.seen,
    (
        SELECT min(total)
        FROM (
            SELECT sum(h.requests) AS total
            FROM windows AS h
            WHERE h.partner_id = f.partner_id AND f.began // 4 - h.w // 4 IN (168, 336, 504, 672)
            GROUP BY h.w // 4
        )
    ) AS usual
FROM found AS f
ASOF LEFT JOIN windows AS l ON l.partner_id = f.partner_id AND l.w < f.began
ORDER BY f.partner_id, f.began
