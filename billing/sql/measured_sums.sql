-- Sums of counts and quantities, in parts that cannot overflow: high * 10^19 + middle + low * 10^-12 is the sum.
-- in:  measured
-- out: span, high, middle, low DECIMAL(38, 0): one row per span with events
SELECT
    span,
    sum(whole::HUGEINT // 10000000000000000000::HUGEINT)::DECIMAL(38, 0) AS high,
    sum(whole::HUGEINT % 10000000000000000000::HUGEINT)::DECIMAL(38, 0) AS middle,
    sum(fraction)::DECIMAL(38, 0) AS low
FROM measured
GROUP BY span
ORDER BY span
