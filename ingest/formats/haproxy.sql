-- haproxy: HAProxy's HTTP log (option httplog), with or without a syslog header, and its JSON (log-format "%{+json}o …").
-- Fields: client:port [accept date] frontend backend/server TR/Tw/Tc/Tr/Ta status bytes … "request". JSON keys are those of
--   HAProxy's own example: client_ip, request_date, frontend_name, backend_name, time_active, status_code, bytes_read,
--   request_line; also method, uri, host, bytes_uploaded, unique_id, api_key_id, consumer, iss with azp, client_id or sub.
-- Units: the date has no zone and is read as UTC (a date with a zone is read with it), 1 ms; times in ms, -1 where a phase
--   was not reached; bytes_read and bytes_uploaded with headers. Status -1 (no response) is 0. "+" (option logasap) marks
--   lower bounds: for billing log at the end.
-- Id: unique_id, which must hold %ID made by a unique-id-format of HAProxy's own fields. The HTTP log has none: derived.
-- Identity: JSON only, api_key_id (api_key) > iss (oidc) > consumer.
-- Connections of TCP mode and failed handshakes are no requests.
-- in:  lines(position, line)
-- out: the entry columns of ingest/sql/normalise.sql
WITH framed AS (
    SELECT
        position,
        -- The syslog header of RFC 3164 (also with an ISO date) or RFC 5424.
        CASE
            WHEN starts_with(line, '{') OR regexp_matches(line, '^\S+:\d+ \[') THEN line
            ELSE regexp_replace(
                line,
                '^(?:<\d+>)?(?:1 (?:\S+ ){5}- |(?:\d{4}-\S+|[A-Z][a-z]{2} [ \d]\d [\d:]{8}) \S+ [^\s\[]+\[\d+\]: )',
                ''
            )
        END AS line
    FROM (SELECT position, unwrapped(line) AS line FROM lines)
),

cut AS (
    SELECT
        position,
        line,
        -- json_valid first: from_json under TRY falls back to row by row for 2,048 lines when one of them is broken.
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "client_ip": "VARCHAR", "request_date": "VARCHAR", "frontend_name": "VARCHAR", "backend_name": "VARCHAR",
            "time_active": "VARCHAR", "status_code": "VARCHAR", "bytes_read": "VARCHAR", "bytes_uploaded": "VARCHAR",
            "request_line": "VARCHAR", "method": "VARCHAR", "uri": "VARCHAR", "host": "VARCHAR", "unique_id": "VARCHAR",
            "api_key_id": "VARCHAR", "consumer": "VARCHAR", "iss": "VARCHAR", "azp": "VARCHAR", "client_id": "VARCHAR",
            "sub": "VARCHAR"
        }') END AS r,
        -- Of what stands between these, HAProxy escapes the quotes.
        CASE WHEN NOT starts_with(line, '{') THEN string_split(line, '"') END AS q
    FROM framed
),

read AS (
    SELECT
        position,
        line,
        r,
        q,
        regexp_extract(
            q[1], '^(\S+) \[([^\]]+)\] (\S+) ([^\s/]+)/\S+ (\S+ .*)$', ['client', 'date', 'frontend', 'backend', 'rest']
        ) AS t,
        -- The line may be cut, since syslog takes 1,024 bytes: then the request lacks its protocol and its closing quote.
        request_line(rtrim(coalesce(q[2], r.request_line), chr(10) || chr(13))) AS request
    FROM cut
),

timed AS (
    SELECT
        position,
        line,
        r,
        q,
        t,
        request,
        regexp_extract(
            t.rest,
            '^(?:-?\d+/){4}\+?(-?\d+) (-?\d+) \+?(\d+) \S+ \S+ \S{4} ',
            ['active', 'status', 'bytes']
        ) AS u
    FROM read
),

named AS (
    SELECT
        position,
        line,
        CASE
            WHEN coalesce(r.request_line, r.method, r.status_code) IS NOT NULL THEN NULL
            WHEN r IS NOT NULL THEN 'NOT_A_REQUEST'
            WHEN u.status != '' AND len(q) > 1 THEN NULL
            WHEN regexp_matches(line, '^\S+:\d+ \[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:.]+\] \S*/') THEN 'NOT_A_REQUEST'
            WHEN regexp_matches(line, '^\S+:\d+ \[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:.]+\] \S+ \S+/\S+ (?:-?\d+/){2}\+?-?\d+ \+?\d+ \S\S ')
                THEN 'NOT_A_REQUEST'
            WHEN regexp_matches(line, '^(?:Proxy|Server|Backup Server|Stopping|Connect from|backend|frontend) ') THEN 'NOT_A_REQUEST'
            ELSE no_object(line)
        END AS format_reason,
        present(r.unique_id) AS event_id,
        coalesce(r.request_date, t.date) AS time,
        coalesce(present(r.method), present(request.method)) AS method,
        coalesce(r.uri, present(request.target)) AS target,
        coalesce(r.frontend_name, t.frontend) AS frontend,
        coalesce(r.backend_name, t.backend) AS backend,
        coalesce(r.status_code, u.status) AS status,
        coalesce(r.bytes_read, u.bytes) AS response_bytes,
        coalesce(r.time_active, u.active) AS active,
        coalesce(r.client_ip, regexp_extract(t.client, '^(.*):\d+$', 1)) AS client,
        r.bytes_uploaded AS request_bytes,
        coalesce(r.host, target_host(request.method, present(request.target))) AS host,
        present(r.api_key_id) AS api_key,
        present(r.iss) AS issuer,
        coalesce(present(r.azp), present(r.client_id), present(r.sub)) AS issuer_client,
        present(r.consumer) AS consumer
    FROM timed
)

SELECT
    position,
    0 AS item,
    line,
    format_reason,
    event_id,
    TRUE AS id_is_safe,
    present(time) AS time_text,
    CASE WHEN contains(time, ' ') THEN clf_time_us(time) ELSE epoch_us(try_strptime(time, '%d/%b/%Y:%H:%M:%S.%g')) END AS time_us,
    method,
    target,
    present(rtrim(frontend, '~')) AS route,
    CASE WHEN status = '-1' THEN '0' ELSE present(status) END AS status_text,
    present(request_bytes) AS request_bytes_text,
    present(response_bytes) AS response_bytes_text,
    CASE WHEN active != '-1' THEN present(active) END AS latency_ms_text,
    present(client) AS client_ip_text,
    CASE
        WHEN api_key IS NOT NULL THEN 'api_key'
        WHEN issuer IS NOT NULL THEN 'oidc'
        WHEN consumer IS NOT NULL THEN 'consumer'
        ELSE 'none'
    END AS identity_kind,
    coalesce(api_key, issuer, consumer) AS identity_value,
    CASE WHEN api_key IS NULL AND issuer IS NOT NULL THEN issuer_client END AS identity_client,
    present(backend) AS service,
    present(host) AS host_text
FROM named
