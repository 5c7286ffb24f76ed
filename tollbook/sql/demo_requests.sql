-- A month of requests for the demo, with faults. The rows are the same on every machine.
-- in:  slots(partner, slot_start_us, first_n, requests): the number of requests of a partner in a 15-minute slot
-- out: n, partner, at_us (request time), shipped_us (place in the log), copy (1: resent), route_no, status,
--      response_bytes, latency_ms, fault (NULL, or what is wrong with the line)
-- The macro `mix` is a hash of its own, so the numbers do not depend on DuckDB's version.
WITH requests AS (
    SELECT partner, slot_start_us, unnest(range(first_n, first_n + requests)) AS n
    FROM slots
),

drawn AS (
    SELECT
        n,
        partner,
        slot_start_us + mix(n, 1) % 900000 * 1000 AS at_us,
        mix(n, 2) % 1000 AS route_draw,
        mix(n, 3) % 1000 AS status_draw,
        mix(n, 4) % 10000 AS size_draw,
        mix(n, 5) % 100 AS latency_draw,
        mix(n, 6) % 100000 AS fate
    FROM requests
),

described AS (
    SELECT
        n,
        partner,
        at_us,
        fate,
        CASE
            WHEN partner = 'globex' THEN CASE WHEN route_draw < 550 THEN 3 WHEN route_draw < 900 THEN 0 ELSE 2 END
            WHEN route_draw < 520 THEN 0 WHEN route_draw < 760 THEN 1 WHEN route_draw < 960 THEN 2 ELSE 3
        END AS route_no,
        CASE
            WHEN status_draw < 955 THEN 200
            WHEN status_draw < 975 THEN 404
            WHEN status_draw < 990 THEN CASE WHEN partner = 'northwind' THEN 429 ELSE 400 END
            ELSE 503
        END AS status,
        size_draw,
        latency_draw
    FROM drawn
),

sized AS (
    SELECT
        n,
        partner,
        at_us,
        fate,
        route_no,
        status,
        CASE
            WHEN status != 200 THEN 64 + size_draw % 40
            WHEN route_no = 3 THEN 24000 + size_draw * 5
            WHEN route_no = 2 THEN 6000 + size_draw
            ELSE 400 + size_draw // 4
        END AS response_bytes,
        CASE WHEN status = 429 THEN 1 WHEN route_no = 3 THEN 120 + latency_draw * 4 ELSE 8 + latency_draw // 2 END AS latency_ms
    FROM described
)

SELECT
    n, partner, at_us, route_no, status, response_bytes, latency_ms,
    -- Late: half a percent come up to nine hours after their time. The rest is logged as it ends.
    at_us + latency_ms * 1000 + CASE WHEN fate BETWEEN 2000 AND 2499 THEN (mix(n, 7) % 32400) * 1000000 ELSE 0 END AS shipped_us,
    0 AS copy,
    CASE
        WHEN fate < 40 THEN 'cut'
        WHEN fate < 60 THEN 'quote'
        WHEN fate < 90 THEN 'unknown'
        WHEN fate < 140 THEN 'anonymous'
    END AS fault
FROM sized
UNION ALL
-- Resent by the shipper within half an hour: one percent the same, a few with another status.
SELECT
    n, partner, at_us, route_no, CASE WHEN fate >= 1990 THEN 504 ELSE status END AS status, response_bytes, latency_ms,
    at_us + latency_ms * 1000 + (1 + mix(n, 8) % 1800) * 1000000 AS shipped_us,
    1 AS copy,
    NULL AS fault
FROM sized
WHERE fate BETWEEN 1000 AND 1991
