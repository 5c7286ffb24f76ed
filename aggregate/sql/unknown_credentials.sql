-- Unknown and invalid credentials, by the requests that no redrive has settled.
-- in:  dead, redriven
-- out: credential_hash, entries, first_at, last_at, sources, reasons; entries without a hash or a time are left out;
--      lists and rows ordered
SELECT
    d.credential_hash,
    count(*) AS entries,
    min(d.occurred_at) AS first_at,
    max(d.occurred_at) AS last_at,
    list_sort(list(DISTINCT d.source)) AS sources,
    list_sort(list(DISTINCT d.reason)) AS reasons
FROM dead AS d
ANTI JOIN redriven AS r
    ON r.source = d.source AND r.generation = d.generation AND r.position = d.position AND r.item = d.item
WHERE d.outcome = 'refused'
    AND d.reason IN ('UNKNOWN_CREDENTIAL', 'CREDENTIAL_NOT_VALID')
    AND d.credential_hash IS NOT NULL
    AND d.occurred_at IS NOT NULL
GROUP BY d.credential_hash
ORDER BY d.credential_hash
