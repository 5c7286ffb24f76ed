-- A format's entries to typed values. A value that cannot be typed gives the entry a reason. One row per entry.
-- in:  entries(position, item, line, format_reason, event_id, id_is_safe, time_text, time_us, method, target, route,
--      status_text, request_bytes_text, response_bytes_text, latency_ms_text, client_ip_text,
--      identity_kind, identity_value, identity_client, service, host_text),
--      unreadable(position, reason, detail): lines that are not text, too long, or incomplete;
--      given, one row: strict, whether JSON lines are usage events, which are never guessed at; trust_user, whether a claimed
--      user is a consumer
-- out: position, item, line, reason, detail, doubtful (whether ingest/decode/strict_json.py must check it), event_id,
--      id_is_safe, time_us, method, path, route, status, request_bytes, response_bytes, latency_us, latency_ms_text,
--      client_ip, identity_kind, identity_value, credential, wider (a credential that covers it: the issuer of a
--      client, the role of a session), service, host
WITH typed AS (
    SELECT
        entries.position,
        item,
        line,
        CASE
            WHEN unreadable.reason IS NULL THEN format_reason
            WHEN unreadable.reason != 'BAD_UTF8' THEN unreadable.reason
            -- Only what is read has to be UTF-8: a client must not escape billing by a byte in a header. The senders of
            -- usage events write all of it themselves.
            WHEN given.strict OR format_reason IN ('NOT_JSON', 'NOT_OBJECT') THEN 'BAD_UTF8'
            -- Nor by one in the path, the host or a forwarded address, which a client chooses, too: they are shown.
            WHEN has_bad_bytes(concat_ws(
                ' ', CASE WHEN id_is_safe THEN event_id END, time_text, method, route, status_text, request_bytes_text, response_bytes_text,
                latency_ms_text, identity_value, identity_client, service
            )) THEN 'BAD_UTF8'
            ELSE format_reason
        END AS format_reason,
        unreadable.detail AS unreadable_detail,
        event_id,
        id_is_safe,
        time_text,
        time_us,
        method,
        CASE WHEN unreadable.reason = 'BAD_UTF8' THEN with_bytes(path_of(target)) ELSE path_of(target) END AS path,
        route,
        status_text,
        TRY_CAST(whole_number(status_text) AS SMALLINT) AS status,
        request_bytes_text,
        whole_number(request_bytes_text) AS request_bytes,
        response_bytes_text,
        whole_number(response_bytes_text) AS response_bytes,
        latency_ms_text,
        latency_us(latency_ms_text) AS latency_us,
        CASE WHEN unreadable.reason = 'BAD_UTF8' THEN with_bytes(address_of(client_ip_text)) ELSE address_of(client_ip_text) END AS client_ip,
        CASE WHEN identity_kind = 'claimed' AND given.trust_user THEN 'consumer' ELSE identity_kind END AS identity_kind,
        identity_value,
        CASE WHEN identity_client IS NULL THEN identity_value ELSE identity_value || '#' || identity_client END AS credential,
        CASE WHEN identity_client IS NOT NULL THEN identity_value WHEN identity_kind = 'iam' THEN role_of(identity_value) END AS wider,
        service,
        CASE WHEN unreadable.reason = 'BAD_UTF8' THEN with_bytes(host_of(host_text)) ELSE host_of(host_text) END AS host
    FROM entries
    CROSS JOIN given
    LEFT JOIN unreadable ON unreadable.position = entries.position
),

judged AS (
    SELECT
        typed.*,
        CASE
            WHEN format_reason IS NOT NULL THEN format_reason
            -- An unused id is not checked: otherwise a client could avoid billing by sending a bad one.
            WHEN id_is_safe AND regexp_matches(event_id, '[\x00-\x1f\x7f]') THEN 'CONTROL_CHAR'
            WHEN id_is_safe AND (length(event_id) > 128 OR event_id < '!') THEN 'BAD_ID'
            WHEN time_text IS NULL THEN 'NO_TIME'
            WHEN time_us IS NULL THEN time_problem(time_text)
            WHEN time_us NOT BETWEEN 631152000000000 AND 4102444799999999 THEN 'TIME_RANGE'
            WHEN status_text IS NOT NULL AND (status IS NULL OR NOT (status = 0 OR status BETWEEN 100 AND 599)) THEN 'BAD_STATUS'
            WHEN request_bytes_text IS NOT NULL AND request_bytes IS NULL THEN 'NUMBER_RANGE'
            WHEN response_bytes_text IS NOT NULL AND response_bytes IS NULL THEN 'NUMBER_RANGE'
            WHEN latency_ms_text IS NOT NULL AND latency_us IS NULL THEN 'NUMBER_RANGE'
        END AS reason
    FROM typed
)

SELECT
    position,
    item,
    line,
    reason,
    -- Tested first: most entries have no reason, and would be compared with twenty.
    CASE WHEN reason IS NOT NULL THEN
        CASE reason
            WHEN 'BAD_UTF8' THEN unreadable_detail
            WHEN 'BAD_ENCODING' THEN unreadable_detail
            WHEN 'PARTIAL_LINE' THEN unreadable_detail
            WHEN 'TOO_LARGE' THEN coalesce(unreadable_detail, strlen(line) || ' bytes, at most 65536')
            WHEN 'NOT_JSON' THEN 'neither JSON nor a text form of this format'
            WHEN 'NOT_OBJECT' THEN 'JSON, but not an object'
            WHEN 'NOT_A_REQUEST' THEN 'a record without a request'
            WHEN 'SCHEMA_UNKNOWN' THEN 'specversion is not 1.0'
            WHEN 'UNKNOWN_METER' THEN 'a type that is not among the event_types of the source'
            WHEN 'NO_ID' THEN 'no event id'
            WHEN 'BAD_ID' THEN 'event id ' || left(event_id, 40)
            WHEN 'CONTROL_CHAR' THEN 'event id ' || regexp_replace(left(event_id, 40), '[\x00-\x1f\x7f]', '?', 'g')
            WHEN 'NO_TIME' THEN 'no request time'
            WHEN 'NO_ZONE' THEN 'time ' || left(time_text, 40)
            WHEN 'BAD_TIME' THEN 'time ' || left(time_text, 40)
            WHEN 'TIME_RANGE' THEN 'time ' || left(time_text, 40) || ' is not in 1990-2099'
            WHEN 'BAD_STATUS' THEN 'status ' || left(status_text, 40) || ' is not 0 or 100-599'
            WHEN 'NUMBER_RANGE' THEN 'request bytes ' || coalesce(left(request_bytes_text, 40), 'absent') || ', response bytes '
                || coalesce(left(response_bytes_text, 40), 'absent') || ', latency ms ' || coalesce(left(latency_ms_text, 40), 'absent')
                || ': one is not a whole number in [0, 10^16]'
            WHEN 'WRONG_TYPE' THEN 'a number is not a JSON number, or an id, source or subject is not a string'
            WHEN 'NOT_INTEGER' THEN 'request bytes ' || coalesce(left(request_bytes_text, 40), 'absent') || ', response bytes '
                || coalesce(left(response_bytes_text, 40), 'absent') || ': one is not written as a whole number'
            WHEN 'NEGATIVE' THEN 'request bytes ' || coalesce(left(request_bytes_text, 40), 'absent') || ', response bytes '
                || coalesce(left(response_bytes_text, 40), 'absent') || ', latency ms ' || coalesce(left(latency_ms_text, 40), 'absent')
                || ': one is negative'
        END
    END AS detail,
    CASE WHEN given.strict AND unreadable_detail IS NULL AND starts_with(line, '{') THEN doubtful(line) ELSE FALSE END AS doubtful,
    event_id,
    id_is_safe,
    time_us,
    method,
    path,
    route,
    status,
    request_bytes,
    response_bytes,
    latency_us,
    latency_ms_text,
    client_ip,
    identity_kind,
    identity_value,
    credential,
    wider,
    service,
    host
FROM judged
CROSS JOIN given
