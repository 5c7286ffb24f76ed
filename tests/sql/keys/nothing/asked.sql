-- Which is the first row with the same hash; the hash itself is another one with another version of DuckDB. Row order
-- is kept.
WITH numbered AS (SELECT row_number() OVER () AS nth, identity, payload, day FROM result)

SELECT
    nth,
    min(nth) OVER (PARTITION BY identity) AS same_identity,
    min(nth) OVER (PARTITION BY payload) AS same_payload,
    day
FROM numbered
ORDER BY nth
