-- The events to withdraw: all events of an id except the one that was landed first. An event whose id was derived from
-- its place counts as the first one, whatever was landed before: only a client can have chosen an id that looks like
-- it.
-- in:  bucket (columns of landed_identities.sql), whole in each of its identities
-- out: taken, kept: the places of the event to withdraw and of the one that is kept; ordered
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
