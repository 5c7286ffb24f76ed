-- What of every entry goes to the lake, and why an entry is refused. The hot path: columns that are not named here are not
-- computed.
-- in:  attributed
-- out: the columns of schemas.tables.FRESH_EVENTS without source and generation; reason, NULL where accepted, and what a
--      refusal tells a person: doubtful, detail, tag, identity_kind, identity_value, credential_logged
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
    doubtful,
    detail,
    tag,
    identity_kind,
    identity_value,
    credential_logged
FROM attributed
