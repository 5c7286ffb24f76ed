-- The entries in `fresh` that are counted, in one day of the lake or by some commits, with their dedup keys as in
-- stored.sql.
-- in:  stored (files of table events), fresh(source, event_id)
-- out: source, event_id, and the columns of aggregate/sql/keys.sql
SELECT
    s.source, s.event_id, s.partner_id, s.credential_kind, s.credential, s.occurred_at, s.service, s.method, s.route, s.status,
    s.request_bytes, s.response_bytes, s.event_type, s.quantities, s.attributes
FROM stored AS s
SEMI JOIN fresh AS f ON f.source = s.source AND f.event_id = s.event_id
