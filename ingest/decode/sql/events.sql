-- What of every entry goes to the lake, and why an entry is refused. The hot path: columns that are not named here are not
-- computed.
-- in:  attributed; given, one row: judging
-- out: the columns of schemas.tables.FRESH_EVENTS without source, generation and outside; reason, NULL where accepted, and what a
--      refusal tells a person: doubted, detail, tag, identity_kind, wider, credential_logged; and where credentials have policies
--      (judging) what is needed to judge by them: policy, and with it client_ip and line
SELECT
    event_id,
    partner_id,
    credential_kind,
    credential,
    occurred_at,
    service,
    method,
    route,
    status,
    request_bytes,
    response_bytes,
    latency_us,
    client_network,
    suspended,
    position,
    item,
    reason,
    -- The text of what ingest/decode/strict_json.py must have its say on. A statement of its own would take longer to plan than to run.
    CASE
        WHEN (doubtful OR reason IN ('NOT_JSON', 'WRONG_TYPE', 'NOT_INTEGER')) AND (starts_with(line, '{') OR starts_with(line, '[')) THEN line
    END AS doubted,
    detail,
    -- Texts that only a refusal needs are not written out for the many lines that are none.
    CASE WHEN reason IS NOT NULL THEN tag END AS tag,
    CASE WHEN reason IS NOT NULL THEN identity_kind END AS identity_kind,
    CASE WHEN reason IS NOT NULL THEN wider END AS wider,
    CASE WHEN reason IS NOT NULL THEN credential_logged END AS credential_logged,
    CASE WHEN given.judging THEN policy END AS policy,
    CASE WHEN given.judging AND policy IS NOT NULL THEN client_ip END AS client_ip,
    CASE WHEN given.judging AND policy IS NOT NULL THEN line END AS line
FROM attributed
CROSS JOIN given
