-- in:  invoices
-- out: every issued invoice, ordered by series and number
SELECT number, series, sequence, partner_id, period, close_id, currency, total, document, json_sha256, csv_sha256, pdf_sha256
FROM invoices
WHERE number IS NOT NULL
ORDER BY series, sequence
