-- The dead letters: refused entries with what a person needs to mend them. Run over the lines of refused entries only.
-- in:  lines, normalised and attributed of those lines; credentials
-- out: outcome, reason, detail, position, item, event_id, partner_id, occurred_at, raw, raw_sha256; ordered as the log
SELECT
    'refused' AS outcome,
    CASE
        WHEN a.reason = 'UNKNOWN_CREDENTIAL' AND EXISTS (
            SELECT 1 FROM credentials AS c
            WHERE c.kind = a.identity_kind AND c.value IN (a.credential_logged, n.identity_value)
        ) THEN 'CREDENTIAL_NOT_VALID'
        ELSE a.reason
    END AS reason,
    CASE
        WHEN n.reason IS NOT NULL THEN n.detail
        WHEN a.reason IN ('UNKNOWN_PARTNER', 'TAG_NOT_ALLOWED') THEN 'partner tag ' || left(a.tag, 64)
        WHEN a.reason = 'PARTNER_MISMATCH'
            THEN 'partner tag ' || left(a.tag, 64) || ', but ' || a.identity_kind || ' ' || left(a.credential_logged, 200) || ' is of ' || a.partner_id
        WHEN a.reason = 'UNKNOWN_CREDENTIAL' THEN a.identity_kind || ' ' || left(a.credential_logged, 200)
        WHEN a.reason = 'NO_PARTNER' THEN 'no credential and no partner tag'
        ELSE 'request time ' || a.occurred_at
    END AS detail,
    n.position,
    n.item,
    a.event_id,
    CASE WHEN a.reason != 'PARTNER_MISMATCH' THEN a.partner_id END AS partner_id,
    a.occurred_at,
    encode(masked(n.line)) AS raw,
    coalesce(n.raw_sha256, sha256(rtrim(n.line, chr(10) || chr(13)))) AS raw_sha256
FROM attributed AS a
INNER JOIN normalised AS n ON n.position = a.position AND n.item = a.item
WHERE a.reason IS NOT NULL
ORDER BY n.position, n.item
