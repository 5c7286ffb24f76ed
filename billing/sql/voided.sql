-- Voided invoices of a month. Their periods are open, unless a later invoice settled them again.
-- in:  invoices
-- out: partner_id, period, number, close_id, period_start, period_end (NULL in rows of earlier versions),
--      document (only if the bounds are NULL, because it holds them); in the order in which they were issued
SELECT
    partner_id, period, number, close_id, period_start, period_end,
    CASE WHEN period_start IS NULL THEN document END AS document
FROM invoices
WHERE
    coalesce(kind, 'invoice') = 'invoice'
    AND number IN (SELECT refers_to FROM invoices WHERE voids)
ORDER BY issued_at, number
