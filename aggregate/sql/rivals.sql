-- Events that are to be taken out: all of an identity but the one that was landed first. An event whose id was derived from its place is
-- the first whatever was landed before: an id that only looks like that was chosen by somebody.
-- in:  bucket (columns of landed_identities.sql), whole in each of its identities
-- out: taken, kept: places of the event to be taken out and of the one that stays; ordered
SELECT place AS taken, kept
FROM (
    SELECT
        place,
        is_derived,
        first_value(place) OVER in_order AS kept,
        row_number() OVER in_order AS nth
    FROM bucket
    WINDOW in_order AS (
        PARTITION BY source, event_id ORDER BY is_derived DESC, landed, events_partition, position, item, place
    )
)
WHERE nth > 1 AND NOT is_derived
ORDER BY place
