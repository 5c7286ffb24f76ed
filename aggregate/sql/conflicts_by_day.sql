-- Entries that conflict with events, by source and UTC day.
-- in:  dead; $days: UTC days, as numbers of days since 1970
-- out: source, day (as a number), entries, first_at, last_at, partners (at most 5); lists and rows ordered
SELECT
    source,
    epoch_us(occurred_at) // 86400000000 AS day,
    count(*) AS entries,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    coalesce(list_sort(list(DISTINCT partner_id) FILTER (partner_id IS NOT NULL)), [])[:5] AS partners
FROM dead
WHERE outcome = 'conflict' AND epoch_us(occurred_at) // 86400000000 IN (SELECT unnest($days::BIGINT[]))
GROUP BY ALL
ORDER BY source, day
