-- Sums by the values of the attribute `itemize_by`, in the parts of measured_sums.sql. Of each span, the values with
-- the greatest sums have rows of their own, and all others share one.
-- in:  measured; listed_spans(span, itemize_max)
-- out: span, name (NULL: events without the attribute), is_rest, "values" BIGINT (how many of them the row sums up),
--      high, middle, low DECIMAL(38, 0); ordered
WITH summed AS (
    SELECT
        span,
        listed AS name,
        sum(whole::HUGEINT // 10000000000000000000::HUGEINT) AS high,
        sum(whole::HUGEINT % 10000000000000000000::HUGEINT) AS middle,
        sum(fraction) AS low
    FROM measured
    GROUP BY span, listed
),

carried AS (
    SELECT *, middle + low // 1000000000000::HUGEINT AS above FROM summed
),

ranked AS (
    SELECT
        span, name, high, middle, low,
        row_number() OVER (
            PARTITION BY span
            ORDER BY
                high + above // 10000000000000000000::HUGEINT DESC,
                above % 10000000000000000000::HUGEINT DESC,
                low % 1000000000000::HUGEINT DESC,
                name NULLS LAST
        ) AS place
    FROM carried
)

SELECT
    r.span,
    CASE WHEN r.place <= l.itemize_max THEN r.name END AS name,
    r.place > l.itemize_max AS is_rest,
    count(*) AS "values",
    sum(r.high)::DECIMAL(38, 0) AS high,
    sum(r.middle)::DECIMAL(38, 0) AS middle,
    sum(r.low)::DECIMAL(38, 0) AS low
FROM ranked AS r
INNER JOIN listed_spans AS l ON l.span = r.span
GROUP BY r.span, CASE WHEN r.place <= l.itemize_max THEN r.name END, r.place > l.itemize_max
ORDER BY r.span, is_rest, name NULLS LAST
