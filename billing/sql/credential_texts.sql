-- The names of refused credentials, if the text of at least one of their entries is not erased.
-- in:  dead, texts
-- out: source, reason, credential_hash, detail (the first in text order); ordered
SELECT d.source, d.reason, d.credential_hash, min(t.detail) AS detail
FROM dead AS d
INNER JOIN texts AS t
    ON t.source = d.source AND t.generation = d.generation AND t.position = d.position AND t.item = d.item
    AND t.outcome = d.outcome
WHERE d.credential_hash IS NOT NULL AND t.detail IS NOT NULL
GROUP BY d.source, d.reason, d.credential_hash
ORDER BY d.source, d.reason, d.credential_hash
