-- What is settled, without documents.
-- in:  invoices
-- out: partner_id, period, legal_entity, period_start, period_end (NULL in rows of before), number (NULL: nothing was to pay), close_id,
--      document (only where the period is NULL: it says it); in the order in which it was settled
SELECT
    partner_id, period, legal_entity, period_start, period_end, number, close_id,
    CASE WHEN period_start IS NULL THEN document END AS document
FROM invoices
ORDER BY issued_at, partner_id
