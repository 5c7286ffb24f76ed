-- Sums by route, in the parts of measured_sums.sql.
-- in:  measured
-- out: span, name (the route; NULL if the log had none), high, middle, low DECIMAL(38, 0); ordered
SELECT
    span,
    nullif(route, '') AS name,
    sum(whole::HUGEINT // 10000000000000000000::HUGEINT)::DECIMAL(38, 0) AS high,
    sum(whole::HUGEINT % 10000000000000000000::HUGEINT)::DECIMAL(38, 0) AS middle,
    sum(fraction)::DECIMAL(38, 0) AS low
FROM measured
GROUP BY span, nullif(route, '')
ORDER BY span, name
