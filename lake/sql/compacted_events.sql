-- The events of some files as one file of a compaction, in the order in which they are read.
-- in:  small_events (columns of table events)
-- out: the columns of small_events
SELECT *
FROM small_events
ORDER BY events_partition, partner_id, occurred_at, source, event_id, generation, position, item
