-- in:  invoices
-- out: every issued document, ordered by series and number. `kind` is never NULL, `is_voided` and `voids` neither
SELECT
    number, series, sequence, partner_id, period, close_id, issued_at, currency, total, document,
    json_sha256, csv_sha256, pdf_sha256, legal_entity, coalesce(kind, 'invoice') AS kind, refers_to, correction_id,
    coalesce(voids, false) AS voids,
    number IN (SELECT refers_to FROM invoices WHERE voids) AS is_voided
FROM invoices
WHERE number IS NOT NULL
ORDER BY series, sequence
