-- in:  closes
-- out: close_id, period, legal_entity, document, closed_at; the newest close of a period comes last
SELECT close_id, period, legal_entity, document, closed_at
FROM closes
ORDER BY closed_at, close_id
