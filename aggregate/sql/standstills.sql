-- The newest usage of each source, and how it usually comes (aggregate/alerts/detectors/lag.py). Windows are numbers
-- since the epoch, 672 in a week.
-- in:  rollups; $first_day: UTC day from which they are read
-- out: source, newest (window), windows (with requests, in the week up to the newest), longest_gap (windows without a
--      request between two of these, at most); ordered
WITH windows AS (
    SELECT source, epoch_us(window_start) // 900000000 AS w
    FROM rollups
    WHERE event_day >= $first_day
    GROUP BY ALL
    HAVING sum(requests) > 0
),

gaps AS (
    SELECT
        source,
        w,
        w - lag(w) OVER (PARTITION BY source ORDER BY w) - 1 AS gap,
        max(w) OVER (PARTITION BY source) AS newest
    FROM windows
)

SELECT
    source,
    newest,
    count(*) AS windows,
    coalesce(max(gap) FILTER (WHERE w - gap - 1 > newest - 672), 0) AS longest_gap
FROM gaps
WHERE w > newest - 672
GROUP BY source, newest
ORDER BY source
