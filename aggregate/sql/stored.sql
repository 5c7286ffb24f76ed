-- The columns that dedup keys are made of, for events of the worker's own partitions.
-- in:  stored (files of table events), own(events_partition)
-- out: source, event_id, and the columns of aggregate/sql/keys.sql
SELECT
    source, event_id, partner_id, credential_kind, credential, occurred_at, service, method, route, status, request_bytes,
    response_bytes, event_type, quantities, attributes
FROM stored
WHERE events_partition IN (SELECT events_partition FROM own)
