-- The events that count: those that were landed, less those that a settlement has taken out. Whoever sums or lists events reads these.
-- in:  landed (files of table events), withdrawn
-- out: the columns of landed
SELECT l.*
FROM landed AS l
ANTI JOIN withdrawn AS w
    ON w.source = l.source AND w.generation = l.generation AND w.position = l.position AND w.item = l.item
