-- in:  closes
-- out: close_id, period, legal_entity, document; the newest close of a period last
SELECT close_id, period, legal_entity, document
FROM closes
ORDER BY closed_at, close_id
