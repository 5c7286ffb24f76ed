-- s3_access: Amazon S3 server access logs, one text line a record; fields that were appended over the years may be missing.
-- Fields: bucket owner, bucket, [time], remote address, requester, request id, operation, key, "request", status, error code,
--   bytes sent, object size, total time, turn-around time, "referer", "user agent", version id, host id, signature version,
--   cipher suite, authentication type, host header, and what may follow.
-- Units: time in CLF form (1 s); total time in ms; bytes sent in bytes of body ('-' is 0). S3 does not log the size of a
--   request: the object's size is not it.
-- Id: the request id, which S3 makes. A copy writes two records with one id: its reading half (REST.COPY.…_GET) is an entry
--   with an id of its own, <request id>/<operation>; where both buckets are metered, leave it out by the meter's filter on the
--   route. BATCH.… (the parts of a delete of many objects) and S3.… (lifecycle) are no requests.
-- Identity: the requester (iam): ARN, canonical user id or service name; '-' is anonymous.
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH quoted AS (
    -- Before the first quote, in and after the request; quotes in the user agent stand as they are, so the rest is read from its end.
    SELECT position, line, string_split(rtrim(line), '"') AS parts
    FROM lines
),

fields AS (
    SELECT
        position,
        line,
        string_split(parts[1], ' ') AS head,
        string_split(parts[2], ' ') AS request,
        string_split(parts[3], ' ') AS outcome,
        string_split(parts[-1], ' ') AS tail,
        len(parts) >= 5 AS has_tail
    FROM quoted
),

named AS (
    SELECT
        position,
        line,
        head[2] AS bucket,
        CASE WHEN starts_with(head[3], '[') AND suffix(head[4], ']') THEN substr(head[3], 2) || ' ' || rtrim(head[4], ']') END AS time_text,
        head[5] AS ip,
        head[6] AS requester,
        head[7] AS request_id,
        head[8] AS operation,
        request[1] AS method,
        request[2] AS target,
        outcome[2] AS status_text,
        outcome[4] AS bytes,
        outcome[6] AS total_ms,
        CASE WHEN has_tail THEN tail[7] END AS host_text,
        coalesce(len(outcome), 0) = 8 AS has_outcome
    FROM fields
)

SELECT
    position,
    0 AS item,
    line,
    CASE
        WHEN time_text IS NULL OR operation IS NULL THEN CASE WHEN json_valid(line) THEN 'NOT_OBJECT' ELSE 'NOT_JSON' END
        WHEN starts_with(operation, 'BATCH.') OR starts_with(operation, 'S3.') THEN 'NOT_A_REQUEST'
        WHEN NOT has_outcome THEN 'NOT_JSON'
    END AS format_reason,
    CASE
        WHEN starts_with(operation, 'REST.COPY.') AND suffix(operation, '_GET') THEN request_id || '/' || operation
        ELSE present(request_id)
    END AS event_id,
    TRUE AS id_is_safe,
    time_text,
    clf_time_us(time_text) AS time_us,
    present(method) AS method,
    target,
    operation AS route,
    present(status_text) AS status_text,
    NULL::VARCHAR AS request_bytes_text,
    CASE WHEN bytes = '-' THEN '0' ELSE bytes END AS response_bytes_text,
    present(total_ms) AS latency_ms_text,
    present(ip) AS client_ip_text,
    CASE WHEN requester IN ('', '-') THEN 'none' ELSE 'iam' END AS identity_kind,
    present(requester) AS identity_value,
    NULL::VARCHAR AS identity_client,
    bucket AS service,
    present(host_text) AS host_text
FROM named
