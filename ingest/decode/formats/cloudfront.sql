-- cloudfront: Amazon CloudFront access logs: tab separated with a #Fields header (standard logging, and v2 as w3c), the same
-- without one (the 33 fields of standard logging, or the first 23 or more of them), and JSON lines (v2).
-- Fields: those that #Fields or the JSON keys name; wanted are date and time or timestamp(ms), x-edge-request-id, cs-method,
--   cs-uri-stem, sc-status, cs-bytes, sc-bytes, time-taken, c-ip, x-host-header, cs(Host).
-- Units: date and time in UTC, 1 s, when the edge had answered; time-taken in s; bytes with headers; '-' is absent, status 000 a
--   client that left before the answer.
-- Id: x-edge-request-id, made by CloudFront.
-- Identity: none; CloudFront logs none, so nobody can be billed from this log alone: meter at the gateway behind it.
-- Header lines are no requests. A line that ends before the fields it must have is refused.
-- Layout: #Fields: lines name the columns of what follows, to the end of the file or of the record of a topic. Without one a line of
--   columns that the owner has chosen is refused; the standard columns need none.
-- in:  lines(position, line); given, one row: layout, the last such line before them in the file, or NULL
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH layouts AS (
    SELECT position AS header, string_split(trim(substr(line, 9), ' ' || chr(9) || chr(10) || chr(13)), ' ') AS names
    FROM lines
    WHERE starts_with(line, '#Fields:')
    UNION ALL
    SELECT -1 AS header, coalesce(string_split(trim(substr(layout, 9), ' ' || chr(9) || chr(10) || chr(13)), ' '), [
        'date', 'time', 'x-edge-location', 'sc-bytes', 'c-ip', 'cs-method', 'cs(Host)', 'cs-uri-stem', 'sc-status', 'cs(Referer)',
        'cs(User-Agent)', 'cs-uri-query', 'cs(Cookie)', 'x-edge-result-type', 'x-edge-request-id', 'x-host-header', 'cs-protocol',
        'cs-bytes', 'time-taken', 'x-forwarded-for', 'ssl-protocol', 'ssl-cipher', 'x-edge-response-result-type'
    ]) AS names
    FROM given
),

-- Where the fields stand under each header; 0: nowhere.
places AS (
    SELECT
        header,
        len(names) AS width,
        list_transform([
            'date', 'time', 'timestamp(ms)', 'x-edge-request-id', 'cs-method', 'cs-uri-stem', 'sc-status', 'cs-bytes', 'sc-bytes',
            'time-taken', 'c-ip', 'x-host-header', 'cs(Host)'
        ], lambda name: coalesce(list_position(names, name), 0)) AS place
    FROM layouts
),

headed AS (
    SELECT
        position,
        line,
        coalesce(max(CASE WHEN starts_with(line, '#Fields:') THEN position END) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING), -1) AS header
    FROM lines
),

parsed AS (
    SELECT
        position,
        line,
        place,
        width,
        list_max(place) AS last_read,
        CASE WHEN NOT starts_with(line, '#') AND NOT starts_with(line, '{') THEN string_split(rtrim(line, chr(10) || chr(13)), chr(9)) END AS f,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "date": "VARCHAR", "time": "VARCHAR", "timestamp(ms)": "VARCHAR", "x-edge-request-id": "VARCHAR",
            "cs-method": "VARCHAR", "cs-uri-stem": "VARCHAR", "sc-status": "VARCHAR", "cs-bytes": "VARCHAR",
            "sc-bytes": "VARCHAR", "time-taken": "VARCHAR", "c-ip": "VARCHAR", "x-host-header": "VARCHAR", "cs(Host)": "VARCHAR"
        }') END AS r
    FROM headed
    INNER JOIN places USING (header)
),

named AS (
    SELECT
        position,
        line,
        CASE
            WHEN starts_with(line, '#') THEN 'NOT_A_REQUEST'
            WHEN r IS NOT NULL THEN CASE WHEN coalesce(r['cs-method'], r['sc-status']) IS NULL THEN 'NOT_A_REQUEST' END
            WHEN len(f) < least(width, last_read + 1) OR len(f) < 2 THEN no_object(line)
            WHEN f IS NULL THEN no_object(line)
        END AS format_reason,
        present(coalesce(r.date, f[place[1]])) AS date,
        present(coalesce(r.time, f[place[2]])) AS time,
        present(coalesce(r['timestamp(ms)'], f[place[3]])) AS epoch_ms,
        present(coalesce(r['x-edge-request-id'], f[place[4]])) AS event_id,
        present(coalesce(r['cs-method'], f[place[5]])) AS method,
        present(coalesce(r['cs-uri-stem'], f[place[6]])) AS target,
        present(coalesce(r['sc-status'], f[place[7]])) AS status_text,
        present(coalesce(r['cs-bytes'], f[place[8]])) AS request_bytes_text,
        present(coalesce(r['sc-bytes'], f[place[9]])) AS response_bytes_text,
        present(coalesce(r['time-taken'], f[place[10]])) AS seconds,
        present(coalesce(r['c-ip'], f[place[11]])) AS client_ip_text,
        present(coalesce(r['x-host-header'], f[place[12]])) AS host_text,
        present(coalesce(r['cs(Host)'], f[place[13]])) AS service
    FROM parsed
)

SELECT
    position,
    0 AS item,
    line,
    format_reason,
    event_id,
    TRUE AS id_is_safe,
    coalesce(epoch_ms, date || ' ' || time) AS time_text,
    coalesce(epoch_number_us(epoch_ms), iso_time_us(date || 'T' || time || 'Z')) AS time_us,
    method,
    target,
    NULL::VARCHAR AS route,
    status_text,
    request_bytes_text,
    response_bytes_text,
    ms_of_seconds(seconds) AS latency_ms_text,
    client_ip_text,
    'none' AS identity_kind,
    NULL::VARCHAR AS identity_value,
    NULL::VARCHAR AS identity_client,
    service,
    host_text
FROM named
