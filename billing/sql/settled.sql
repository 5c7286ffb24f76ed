-- Settled periods, without documents. An invoice that was voided settles nothing.
-- in:  invoices
-- out: partner_id, period, legal_entity, period_start, period_end (NULL in rows of earlier versions), number (NULL if
--      there was nothing to pay), close_id, document (only if the bounds are NULL, because it holds them); in the order
--      in which they were settled
SELECT
    partner_id, period, legal_entity, period_start, period_end, number, close_id,
    CASE WHEN period_start IS NULL THEN document END AS document
FROM invoices
WHERE
    coalesce(kind, 'invoice') = 'invoice'
    AND (number IS NULL OR number NOT IN (SELECT refers_to FROM invoices WHERE voids))
ORDER BY issued_at, partner_id
