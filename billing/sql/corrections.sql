-- in:  corrections
-- out: every recorded correction, in the order in which they were recorded
SELECT correction_id, what, number, partner_id, legal_entity, document, recorded_by, recorded_at
FROM corrections
ORDER BY recorded_at, correction_id
