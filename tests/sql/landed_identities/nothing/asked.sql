-- The hash itself is another one with another version of DuckDB; what it is of stays.
SELECT source, event_id, identity = hash(source, event_id) AS is_hash_of_both, is_derived, landed, events_partition, position, item, place
FROM result
ORDER BY landed, place
