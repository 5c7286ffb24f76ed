-- The fields of every entry that go to the lake, and the reason of a refusal. The hot path: columns that are not named
-- here are not computed.
-- in:  attributed; given, one row: judging; typed, whether entries are CloudEvents, which have a type; carrying, whether
--      entries carry quantities or attributes
-- out: the columns of schemas.tables.FRESH_EVENTS without source, generation, outside, quantities and attributes;
--      reason, NULL if accepted; for the detail of a refusal: doubted, detail, tag, identity_kind, wider,
--      credential_logged; if credentials have policies (judging): policy, and with it client_ip and line; line also of
--      accepted entries that may carry something
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
    CASE WHEN given.typed AND reason IS NULL THEN json_extract_string(line, '$.type') END AS event_type,
    position,
    item,
    reason,
    -- Text to be checked by ingest/decode/strict_json.py. A separate statement would take longer to plan than to run.
    CASE
        WHEN (doubtful OR reason IN ('NOT_JSON', 'WRONG_TYPE', 'NOT_INTEGER')) AND (starts_with(line, '{') OR starts_with(line, '[')) THEN line
    END AS doubted,
    detail,
    -- Text that only refusals need is not copied for accepted entries.
    CASE WHEN reason IS NOT NULL THEN tag END AS tag,
    CASE WHEN reason IS NOT NULL THEN identity_kind END AS identity_kind,
    CASE WHEN reason IS NOT NULL THEN wider END AS wider,
    CASE WHEN reason IS NOT NULL THEN credential_logged END AS credential_logged,
    CASE WHEN given.judging THEN policy END AS policy,
    CASE WHEN given.judging AND policy IS NOT NULL THEN client_ip END AS client_ip,
    CASE WHEN (given.judging AND policy IS NOT NULL) OR (given.carrying AND reason IS NULL) THEN line END AS line
FROM attributed
CROSS JOIN given
