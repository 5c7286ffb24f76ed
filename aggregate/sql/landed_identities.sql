-- The landed event ids of the sources and kinds to compare.
-- in:  landed (files of table events, with filename and file_row_number), files(filename, number, landed), withdrawn,
--      compared(source, with_derived: also ids that are those of their rows' places, see id_forms.sql); $since, $until
--      BIGINT: of the commits of events with $since < version <= $until
-- out: source, event_id, identity UBIGINT: hash of the two; is_derived; landed BIGINT (the commit), events_partition,
--      position, item: the order in which they were landed; place BIGINT: number of the file << 32 | row in it; in no
--      order
SELECT
    n.source, n.event_id, hash(n.source, n.event_id) AS identity, n.is_derived, n.landed, n.events_partition, n.position, n.item, n.place
FROM (
    SELECT
        l.source,
        l.event_id,
        starts_with(l.event_id, '@') AND l.event_id IN (
            '@' || l.generation || ':' || l.position, '@' || l.generation || ':' || l.position || ':' || l.item
        ) AS is_derived,
        coalesce(l.landed_in, f.landed) AS landed,
        l.events_partition,
        l.position,
        l.item,
        (f.number << 32) | l.file_row_number AS place
    FROM landed AS l
    INNER JOIN files AS f ON f.filename = l.filename
    ANTI JOIN withdrawn AS w
        ON w.source = l.source AND w.generation = l.generation AND w.position = l.position AND w.item = l.item
    WHERE coalesce(l.landed_in, f.landed) > $since AND coalesce(l.landed_in, f.landed) <= $until
) AS n
INNER JOIN compared AS c ON c.source = n.source
WHERE c.with_derived OR NOT n.is_derived
