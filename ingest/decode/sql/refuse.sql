-- Dead letters: refused entries with everything needed to fix them.
-- in:  refused (rows of events.sql with a reason), lines, parts (of parts.sql), unreadable, credentials, limits; given, one
--      row: source_partner, own_partner, earliest_us, latest_us, max_age_days, max_future_minutes
-- out: outcome, reason, detail, position, item, event_id, partner_id, occurred_at, raw (the line, or the entry's own
--      text if the line has several; redacted, addresses shortened), raw_sha256 (of the whole line with addresses
--      shortened, since the hash of the original would let one test addresses), credential (kind and name if unknown or
--      not valid); in log order
WITH whole AS MATERIALIZED (
    SELECT position, rtrim(line, chr(10) || chr(13)) AS line, sha256(cut_addresses(rtrim(line, chr(10) || chr(13)))) AS line_sha256
    FROM lines
)

SELECT
    'refused' AS outcome,
    CASE
        WHEN r.reason = 'UNKNOWN_CREDENTIAL' AND EXISTS (
            SELECT 1 FROM credentials AS c
            WHERE c.kind = r.identity_kind AND c.value IN (r.credential_logged, r.wider)
        ) THEN 'CREDENTIAL_NOT_VALID'
        ELSE r.reason
    END AS reason,
    masked_shapes(CASE
        WHEN r.detail IS NOT NULL THEN r.detail
        WHEN r.reason IN ('UNKNOWN_PARTNER', 'TAG_NOT_ALLOWED') THEN 'partner tag ' || left(r.tag, 64)
        -- The tag may contain anything: characters that affect terminals or logs are replaced.
        WHEN r.reason = 'BAD_PARTNER' THEN 'partner tag ' || regexp_replace(left(r.tag, 64), '[^ -~]', '?', 'g')
        WHEN r.reason = 'KEY_MISMATCH' THEN 'record key ' || regexp_replace(left(limits.key, 64), '[^ -~]', '?', 'g') || ', but the line is of ' || coalesce(r.partner_id, given.own_partner)
        WHEN r.reason = 'PARTNER_MISMATCH' AND given.source_partner IS NOT NULL
            THEN 'the source is of ' || given.source_partner || ', but ' || CASE
                WHEN r.tag != given.source_partner THEN 'partner tag ' || left(r.tag, 64)
                ELSE r.identity_kind || ' ' || left(r.credential_logged, 200) || ' is of ' || r.partner_id
            END
        WHEN r.reason = 'PARTNER_MISMATCH'
            THEN 'partner tag ' || left(r.tag, 64) || ', but ' || r.identity_kind || ' ' || left(r.credential_logged, 200) || ' is of ' || r.partner_id
        WHEN r.reason = 'UNKNOWN_CREDENTIAL' THEN r.identity_kind || ' ' || left(r.credential_logged, 200)
        WHEN r.reason = 'UNVERIFIED_USER' THEN 'user ' || left(r.credential_logged, 200) || ', of whom the log does not say that anybody checked it'
        WHEN r.reason = 'NO_PARTNER' THEN 'no credential and no partner tag'
        -- The limit, where it is set, and the remedy.
        WHEN r.reason = 'TOO_LATE'
            THEN 'request time ' || r.occurred_at || ', received '
                || make_timestamptz(coalesce(limits.earliest_us, given.earliest_us) + given.max_age_days * 86_400_000_000)
                || ': beyond max_age_days: ' || given.max_age_days || ' of the source, set in the catalog: raise it there to count the request'
        WHEN r.reason = 'IN_FUTURE'
            THEN 'request time ' || r.occurred_at || ', received '
                || make_timestamptz(coalesce(limits.latest_us, given.latest_us) - given.max_future_minutes * 60_000_000)
                || ': beyond max_future_minutes: ' || given.max_future_minutes
                || ' of the source, set in the catalog: correct the clock that wrote it, or raise the limit'
        ELSE 'request time ' || r.occurred_at
    END) AS detail,
    r.position,
    r.item,
    r.event_id,
    CASE WHEN r.reason NOT IN ('PARTNER_MISMATCH', 'KEY_MISMATCH', 'UNKNOWN_PARTNER', 'BAD_PARTNER') THEN r.partner_id END AS partner_id,
    r.occurred_at,
    encode(CASE
        -- Each byte is shown as four characters, and the refusals of a record must not outgrow it.
        WHEN u.reason = 'BAD_UTF8' THEN with_bytes(left(cut_addresses(masked(coalesce(p.line, w.line))), 4096))
        ELSE cut_addresses(masked(coalesce(p.line, w.line)))
    END) AS raw,
    coalesce(u.raw_sha256, w.line_sha256) AS raw_sha256,
    -- The name under which a known credential would be stored: a role, not its session. Clients may choose its length,
    -- and the refusals of a record must not outgrow it.
    CASE WHEN r.reason = 'UNKNOWN_CREDENTIAL' THEN
        r.credential_kind || ' ' || CASE WHEN strlen(r.credential) > 200 THEN sha256(r.credential) ELSE r.credential END
    END AS credential
FROM refused AS r
INNER JOIN whole AS w ON w.position = r.position
LEFT JOIN parts AS p ON p.position = r.position AND p.item = r.item
LEFT JOIN unreadable AS u ON u.position = r.position
LEFT JOIN limits ON limits.position = r.position
CROSS JOIN given
ORDER BY r.position, r.item
