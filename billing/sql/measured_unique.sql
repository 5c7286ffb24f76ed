-- in:  measured
-- out: span, "unique" BIGINT (the number of different values): one row per span with events
SELECT span, count(DISTINCT value) AS "unique"
FROM measured
GROUP BY span
ORDER BY span
