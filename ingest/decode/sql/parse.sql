-- The output of `python -m ingest parse`: the normalised fields, before truncation and attribution. Ordered.
-- in:  normalised
-- out: position, item, doubted, reason, detail and the record's fields; time floored to ms, latency_ms to the nanosecond
SELECT
    position,
    item,
    -- Text to be checked by ingest/decode/strict_json.py. A separate statement would take longer to plan than to run.
    CASE
        WHEN (doubtful OR reason IN ('NOT_JSON', 'WRONG_TYPE', 'NOT_INTEGER')) AND (starts_with(line, '{') OR starts_with(line, '[')) THEN line
    END AS doubted,
    reason,
    detail,
    CASE WHEN starts_with(event_id, service || ' ') THEN substr(event_id, length(service) + 2) ELSE event_id END AS event_id,
    strftime(make_timestamp(time_us), '%Y-%m-%dT%H:%M:%S.%gZ') AS time,
    method,
    path,
    route,
    status,
    request_bytes,
    response_bytes,
    TRY_CAST(latency_ms_text AS DECIMAL(18, 6)) AS latency_ms,
    client_ip,
    CASE WHEN identity_kind = 'claimed' THEN 'none' ELSE identity_kind END AS identity_kind,
    CASE WHEN identity_kind != 'claimed' THEN identity_value END AS identity_value,
    service,
    host
FROM normalised
ORDER BY position, item
