-- Attribution: the partner of the credential that was valid at event time, else the partner tag, else the owner of the
-- source. One row per entry. The hot path: the raw line is not read, unless the source names partners in a field of it.
-- in:  normalised; credentials(kind, value, named: what is stored instead of the value, partner_id, suspended,
--      policy: its number or NULL, from_us, to_us: [from, to)); partners(partner_id, suspended);
--      limits(position, earliest_us, latest_us: [earliest, latest), key: of a record whose key names the partner), for
--      lines with a time of receipt of their own;
--      given, one row: generation, may_tag, partner_path (JSON path or NULL), earliest_us, latest_us (NULL: no limit),
--      source_partner, source_suspended (NULL: the source has no owner), own_partner (the owner of lines without a
--      credential, as ingest/attribution/routing.py decides, or NULL)
-- out: the columns of table events (schemas.tables.EVENTS) without source, generation and day; reason, NULL if
--      accepted; doubtful and detail of a refusal; tag, identity and credential as in the log; for policies: policy,
--      client_ip and the entry's line
WITH tagged AS (
    SELECT
        normalised.*,
        given.*,
        -- Only JSON lines have fields that may name a partner.
        CASE
            WHEN given.partner_path IS NOT NULL AND json_valid(line) THEN nullif(json_extract_string(line, given.partner_path), '')
        END AS tag,
        ipv4_head(client_ip) AS ipv4_head -- computed here: a macro computes a repeated argument twice
    FROM normalised
    CROSS JOIN given
),

matched AS (
    SELECT
        t.* REPLACE (
            coalesce(limits.earliest_us, t.earliest_us) AS earliest_us,
            coalesce(limits.latest_us, t.latest_us) AS latest_us
        ),
        coalesce(exact.partner_id, wider.partner_id) AS credential_partner,
        CASE
            WHEN exact.partner_id IS NOT NULL THEN coalesce(exact.named, t.credential)
            WHEN wider.partner_id IS NOT NULL THEN coalesce(wider.named, t.wider)
            WHEN identity_kind = 'claimed' THEN NULL
            -- A role has an unlimited number of session names.
            WHEN identity_kind = 'iam' THEN coalesce(t.wider, t.credential)
            ELSE t.credential
        END AS credential_used,
        CASE WHEN exact.partner_id IS NOT NULL THEN exact.policy ELSE wider.policy END AS policy,
        named.partner_id AS tag_partner,
        limits.key AS record_key,
        coalesce(exact.suspended, wider.suspended, named.suspended, t.source_suspended, FALSE) AS suspended
    FROM tagged AS t
    LEFT JOIN credentials AS exact
        ON exact.kind = t.identity_kind AND exact.value = t.credential AND t.time_us >= exact.from_us AND t.time_us < exact.to_us
    -- An issuer covers all its clients, and a role all its sessions, that are not listed themselves.
    LEFT JOIN credentials AS wider
        ON wider.kind = t.identity_kind AND wider.value = t.wider AND t.time_us >= wider.from_us AND t.time_us < wider.to_us
    LEFT JOIN partners AS named ON named.partner_id = t.tag
    LEFT JOIN limits ON limits.position = t.position
)

SELECT
    CASE
        WHEN event_id IS NOT NULL AND id_is_safe THEN event_id
        WHEN item = 0 THEN '@' || generation || ':' || position
        ELSE '@' || generation || ':' || position || ':' || item
    END AS event_id,
    coalesce(credential_partner, tag_partner, source_partner) AS partner_id,
    CASE WHEN identity_kind NOT IN ('none', 'claimed') THEN identity_kind END AS credential_kind,
    credential_used AS credential,
    make_timestamptz(time_us) AS occurred_at,
    service,
    method,
    route,
    status,
    request_bytes,
    response_bytes,
    latency_us,
    network_of(client_ip, ipv4_head) AS client_network,
    suspended,
    position,
    item,
    CASE
        WHEN reason IS NOT NULL THEN reason
        WHEN time_us < earliest_us THEN 'TOO_LATE'
        WHEN time_us >= latest_us THEN 'IN_FUTURE'
        WHEN tag IS NOT NULL AND tag_partner IS NULL
            THEN CASE WHEN regexp_full_match(tag, '[a-z0-9_-]{1,64}') THEN 'UNKNOWN_PARTNER' ELSE 'BAD_PARTNER' END
        WHEN credential_partner != tag THEN 'PARTNER_MISMATCH'
        WHEN source_partner != coalesce(credential_partner, tag) THEN 'PARTNER_MISMATCH'
        WHEN record_key != coalesce(credential_partner, tag_partner, source_partner) THEN 'KEY_MISMATCH'
        WHEN credential_partner IS NOT NULL THEN NULL
        WHEN source_partner IS NOT NULL THEN NULL
        WHEN tag IS NOT NULL AND may_tag THEN NULL
        WHEN identity_kind = 'claimed' THEN 'UNVERIFIED_USER'
        WHEN identity_kind != 'none' THEN 'UNKNOWN_CREDENTIAL'
        WHEN tag IS NOT NULL THEN 'TAG_NOT_ALLOWED'
        WHEN record_key != own_partner THEN 'KEY_MISMATCH'
        ELSE 'NO_PARTNER'
    END AS reason,
    doubtful,
    detail,
    tag,
    identity_kind,
    wider,
    matched.credential AS credential_logged,
    policy,
    client_ip,
    line
FROM matched
