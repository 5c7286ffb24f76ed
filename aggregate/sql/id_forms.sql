-- The number of event ids to compare by source, and whether some look like derived ids. A derived id is made by
-- Tollbook from the place of the entry: `@generation:position`, with the item appended. An id counts as derived only if
-- it matches the place of its own row, so no client can pass off its own id as derived, and no two rows have the same
-- derived id.
-- in:  landed (files of table events, with filename), files(filename, number, landed), withdrawn; $settled BIGINT:
--      commits of events up to this were compared before
-- out: source, recent (rows landed since, with an id of their own), recent_derived, earlier, earlier_derived, imitated
--      (rows with an id that looks derived and is not that of their place); ordered
SELECT
    source,
    count(*) FILTER (WHERE is_recent AND NOT is_derived) AS recent,
    count(*) FILTER (WHERE is_recent AND is_derived) AS recent_derived,
    count(*) FILTER (WHERE NOT is_recent AND NOT is_derived) AS earlier,
    count(*) FILTER (WHERE NOT is_recent AND is_derived) AS earlier_derived,
    count(*) FILTER (WHERE NOT is_derived AND starts_with(event_id, '@')) AS imitated
FROM (
    SELECT
        l.source,
        l.event_id,
        coalesce(l.landed_in, f.landed) > $settled AS is_recent,
        starts_with(l.event_id, '@') AND l.event_id IN (
            '@' || l.generation || ':' || l.position, '@' || l.generation || ':' || l.position || ':' || l.item
        ) AS is_derived
    FROM landed AS l
    INNER JOIN files AS f ON f.filename = l.filename
    ANTI JOIN withdrawn AS w
        ON w.source = l.source AND w.generation = l.generation AND w.position = l.position AND w.item = l.item
)
GROUP BY source
ORDER BY source
