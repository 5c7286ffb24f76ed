-- The events of some files as one file of a compaction, in the order in which they are read.
-- in:  small (columns of table events)
-- out: the columns of small
SELECT *
FROM small
ORDER BY events_partition, partner_id, occurred_at, source, event_id, generation, position, item
