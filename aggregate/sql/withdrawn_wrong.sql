-- Withdrawn events that were withdrawn more than once, were never landed, have no conflict in dead, or have no counted
-- event with the same id. There must be none.
-- in:  withdrawn, landed (all rows of table events), events (those that count), dead
-- out: source, event_id, times, landed, conflicts, kept (the number of rows of each, which must be 1); ordered, at most
--      20
WITH taken AS (
    SELECT source, generation, position, item, any_value(event_id) AS event_id, count(*) AS times
    FROM withdrawn
    GROUP BY source, generation, position, item
),

-- Only their rows, as these tables may be large.
there AS (
    SELECT l.source, l.generation, l.position, l.item, count(*) AS rows
    FROM landed AS l
    SEMI JOIN taken AS t
        ON t.source = l.source AND t.generation = l.generation AND t.position = l.position AND t.item = l.item
        AND t.event_id = l.event_id
    GROUP BY l.source, l.generation, l.position, l.item
),

letters AS (
    SELECT source, generation, position, item, count(*) AS rows
    FROM dead
    WHERE outcome = 'conflict'
    GROUP BY source, generation, position, item
),

kept AS (
    SELECT e.source, e.event_id, count(*) AS rows
    FROM events AS e
    SEMI JOIN taken AS t ON t.source = e.source AND t.event_id = e.event_id
    GROUP BY e.source, e.event_id
)

SELECT
    t.source,
    t.event_id,
    t.times,
    coalesce(there.rows, 0) AS landed,
    coalesce(letters.rows, 0) AS conflicts,
    coalesce(kept.rows, 0) AS kept
FROM taken AS t
LEFT JOIN there
    ON there.source = t.source AND there.generation = t.generation AND there.position = t.position AND there.item = t.item
LEFT JOIN letters
    ON letters.source = t.source AND letters.generation = t.generation AND letters.position = t.position AND letters.item = t.item
LEFT JOIN kept ON kept.source = t.source AND kept.event_id = t.event_id
WHERE t.times != 1 OR there.rows IS DISTINCT FROM 1 OR letters.rows IS DISTINCT FROM 1 OR kept.rows IS DISTINCT FROM 1
ORDER BY ALL
LIMIT 20
