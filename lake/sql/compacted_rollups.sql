-- The rollups of some files as one file of a compaction: one row for each key. A row with a number above 2^38 keeps a row
-- of its own, so that the sums of 2^25 rows fit into 64 bits.
-- in:  small_rollups (files of table rollups)
-- out: the columns of small_rollups
SELECT * EXCLUDE (apart)
FROM (
    SELECT
        partner_id,
        window_start,
        source,
        service,
        method,
        route,
        status,
        sum(requests)::BIGINT AS requests,
        sum(request_bytes)::BIGINT AS request_bytes,
        sum(response_bytes)::BIGINT AS response_bytes,
        sum(latency_us)::BIGINT AS latency_us,
        events_partition,
        event_day,
        apart
    FROM (
        SELECT
            *,
            CASE
                WHEN greatest(abs(requests), abs(request_bytes), abs(response_bytes), abs(latency_us)) > 274877906944
                    THEN row_number() OVER ()
            END AS apart
        FROM small_rollups
    )
    GROUP BY ALL
)
ORDER BY partner_id, window_start, source, service, method, route, status, events_partition
