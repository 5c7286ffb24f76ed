-- istio: access logs of Istio's proxies, the default text format and JSON (accessLogEncoding).
-- Fields: [start] "method path protocol" status flags details termination "failure" received sent duration
-- upstream-time
--   "forwarded" "agent" "id" "authority" "upstream" cluster upstream-local downstream-local downstream-remote sni
-- route; JSON
--   with Istio's default names.
-- Units: start time in ms, UTC; duration in ms; bytes of the bodies without headers. Status 0: the client disconnected.
-- Id: derived. The request id is not safe: a client may set it, and all hops of a request share it.
-- Identity: JSON only, with custom keys: x_api_key_id (api_key) > jwt_iss (oidc, with jwt_azp, jwt_client_id or
--   jwt_sub) > downstream_peer_uri_san (consumer, the mTLS principal).
-- Meter one hop, the ingress gateway: inbound and outbound sidecars each log the request.
-- Field start_time                time by iso_time_us
-- Field duration                  latency
-- Field method
-- Field request_id                unread
-- Field path                      unread
-- Field response_code
-- Field bytes_received            request_bytes
-- Field bytes_sent                response_bytes
-- Field downstream_remote_address address
-- Field route_name
-- Field upstream_cluster
-- Field authority                 unread
-- Field x_api_key_id
-- Field jwt_iss
-- Field jwt_azp
-- Field jwt_client_id
-- Field jwt_sub
-- Field downstream_peer_uri_san
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, unwrapped(line) AS line
    FROM lines
),

cut AS (
    SELECT
        position,
        line,
        fields(line) AS r,
        CASE WHEN NOT starts_with(line, '{') THEN string_split(line, '"') END AS q
    FROM framed
),

read AS (
    SELECT
        position,
        line,
        r,
        nullif(regexp_extract(q[1], '^\[([^\]]+)\] $', 1), '') AS time,
        -- A quote in a path is part of it.
        CASE
            WHEN q IS NULL THEN NULL
            WHEN ends_with_protocol(q[2]) THEN regexp_extract(q[2], '^(\S+) (\S+)', ['method', 'target'])
            ELSE regexp_extract(line, '^\[[^\]]+\] "([^\s"]+) (\S+?)(?:" \d|\s|$)', ['method', 'target'])
        END AS request,
        -- The proxy does not escape quotes in a path: such a line is parsed again, slowly, up to the sizes.
        CASE
            WHEN q IS NULL THEN NULL
            WHEN regexp_matches(q[3], '^ (?:\d+|-) \S+ \S+ \S+ $') THEN regexp_extract(
                q[3] || q[5], '^ (\d+|-) \S+ \S+ \S+  (\d+|-) (\d+|-) (\d+|-) (?:\d+|-) $', ['status', 'received', 'sent', 'duration']
            )
            ELSE regexp_extract(
                line,
                '^\[[^\]]+\] "\S+ \S+ [^ "]+" (\d+|-) \S+ \S+ \S+ "[^"]*" (\d+|-) (\d+|-) (\d+|-) (?:\d+|-) "',
                ['status', 'received', 'sent', 'duration']
            )
        END AS result,
        q[2] AS requested,
        -- From the end: the proxy escapes nothing, and the client controls the user agent before these fields.
        CASE WHEN len(q) >= 15 THEN q[-6] END AS request_id,
        CASE WHEN len(q) >= 15 THEN q[-4] END AS authority,
        CASE WHEN len(q) >= 15 THEN string_split(without_newline(q[-1]), ' ') END AS proxied
    FROM cut
),

named AS (
    SELECT
        position,
        line,
        CASE
            WHEN r IS NOT NULL AND is_connection(r.method, r.response_code) THEN 'NOT_A_REQUEST'
            WHEN r IS NOT NULL THEN NULL
            WHEN time IS NOT NULL AND requested = '- - -' AND result.status = '0' THEN 'NOT_A_REQUEST'
            WHEN time IS NOT NULL AND result.status != '' AND len(proxied) >= 7 THEN NULL
            ELSE no_object(line)
        END AS format_reason,
        coalesce(request_id, r.request_id) AS request_id,
        coalesce(time, r.start_time) AS time,
        coalesce(request.method, r.method) AS method,
        coalesce(request.target, r.path) AS target,
        coalesce(proxied[-1], r.route_name) AS route,
        coalesce(result.status, r.response_code) AS status,
        coalesce(result.received, r.bytes_received) AS request_bytes,
        coalesce(result.sent, r.bytes_sent) AS response_bytes,
        coalesce(result.duration, r.duration) AS duration,
        coalesce(proxied[5], r.downstream_remote_address) AS client,
        coalesce(proxied[2], r.upstream_cluster) AS cluster,
        coalesce(authority, r.authority) AS host,
        present(r.x_api_key_id) AS api_key,
        present(r.jwt_iss) AS issuer,
        coalesce(present(r.jwt_azp), present(r.jwt_client_id), present(r.jwt_sub)) AS issuer_client,
        present(r.downstream_peer_uri_san) AS peer
    FROM read
)

SELECT
    position,
    0 AS item,
    line,
    format_reason,
    present(request_id) AS event_id,
    FALSE AS id_is_safe,
    present(time) AS time_text,
    iso_time_us(time) AS time_us,
    present(method) AS method,
    target,
    present(route) AS route,
    present(status) AS status_text,
    present(request_bytes) AS request_bytes_text,
    present(response_bytes) AS response_bytes_text,
    present(duration) AS latency_ms_text,
    present(client) AS client_ip_text,
    CASE
        WHEN api_key IS NOT NULL THEN 'api_key'
        WHEN issuer IS NOT NULL THEN 'oidc'
        WHEN peer IS NOT NULL THEN 'consumer'
        ELSE 'none'
    END AS identity_kind,
    coalesce(api_key, issuer, peer) AS identity_value,
    CASE WHEN api_key IS NULL AND issuer IS NOT NULL THEN issuer_client END AS identity_client,
    present(cluster) AS service,
    present(host) AS host_text
FROM named
