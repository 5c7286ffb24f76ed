-- Redriven entries that were settled more than once, or never refused. There must be none.
-- in:  redriven, dead
-- out: source, generation, position, item, times, refused (the number of rows in dead that they settle); ordered, at
--      most 20
WITH settled AS (SELECT source, generation, position, item, count(*) AS times FROM redriven GROUP BY ALL),
refused AS (
    SELECT source, generation, position, item, count(*) AS times FROM dead WHERE outcome = 'refused' GROUP BY ALL
)

SELECT s.source, s.generation, s.position, s.item, s.times, coalesce(r.times, 0) AS refused
FROM settled AS s
LEFT JOIN refused AS r
    ON r.source = s.source AND r.generation = s.generation AND r.position = s.position AND r.item = s.item
WHERE s.times != 1 OR r.times IS DISTINCT FROM 1
ORDER BY ALL
LIMIT 20
