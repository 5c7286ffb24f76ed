-- What each source gave, and what became of it. Whole lake, at the pinned versions.
-- in:  reads, dead, events
-- out: source, entries, counted, duplicates, conflicts, refused, unexplained (0 in a lake in order), last_event_at; ordered
SELECT
    source,
    sum(entries)::BIGINT AS entries,
    sum(counted)::BIGINT AS counted,
    sum(duplicates)::BIGINT AS duplicates,
    sum(conflicts)::BIGINT AS conflicts,
    sum(refused)::BIGINT AS refused,
    (sum(entries) - any_value(stored.events) - sum(duplicates) - sum(conflicts) - any_value(coalesce(letters.refused, 0)))::BIGINT AS unexplained,
    any_value(stored.last_event_at) AS last_event_at
FROM reads
LEFT JOIN (SELECT source, count(*) AS events, max(occurred_at) AS last_event_at FROM events GROUP BY source) AS stored USING (source)
LEFT JOIN (SELECT source, count(*) AS refused FROM dead WHERE outcome = 'refused' GROUP BY source) AS letters USING (source)
GROUP BY source
ORDER BY source
