-- The dedup keys of entries. Row order is kept.
-- in:  events (schemas.tables.EVENTS, with or without day)
-- out: identity UBIGINT, hash of (source, event_id); payload UBIGINT, hash of the columns that can change a bill
--      (design, section 4a); day INTEGER, UTC days since 1970-01-01
SELECT
    hash(source, event_id) AS identity,
    hash(partner_id, credential_kind, credential, occurred_at, service, method, route, status, request_bytes, response_bytes, event_type, quantities, attributes) AS payload,
    (epoch_us(occurred_at) // 86400000000)::INTEGER AS day
FROM events
