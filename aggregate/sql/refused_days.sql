-- in:  dead: the rows of some commits
-- out: day: the UTC days of their entries, as numbers of days since 1970, of those whose time was read; ordered
SELECT DISTINCT epoch_us(occurred_at) // 86400000000 AS day
FROM dead
WHERE occurred_at IS NOT NULL
ORDER BY day
