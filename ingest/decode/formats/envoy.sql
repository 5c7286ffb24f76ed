-- envoy: Envoy access logs: the default text format (also with the response code details in it), JSON (json_format,
-- Envoy Gateway), and records of the gRPC access log service as proto3 JSON, one record or an array per line.
-- Fields: JSON keys as Envoy Gateway names them, or with underscores instead of other characters (x_request_id,
-- authority, path).
-- Units: start time in ms, UTC; duration in ms, of the access log service in s ("0.0015s"); bytes of the bodies without
--   headers. proto3 omits zeros: a missing size is 0. Status 0: the client disconnected.
-- Id: derived. x-request-id is not safe: a client may set it, and all hops of a request share it.
-- Identity: x_api_key_id (api_key, set by ext_authz) > jwt_iss (oidc, with jwt_azp, jwt_client_id or jwt_sub, from the
--   metadata of jwt_authn) > downstream_peer_uri_san (consumer, mTLS). The text format has none.
-- Meter one hop: each proxy on the way logs the request.
-- Field start_time                                                     time by iso_time_us
-- Field duration                                                       latency
-- Field method
-- Field :method
-- Field path                                                           unread
-- Field :path                                                          unread
-- Field x-envoy-original-path                                          unread
-- Field x-envoy-origin-path                                            unread
-- Field x_envoy_original_path                                          unread
-- Field authority                                                      unread
-- Field :authority                                                     unread
-- Field response_code
-- Field bytes_received                                                 request_bytes
-- Field bytes_sent                                                     response_bytes
-- Field downstream_remote_address                                      address
-- Field x-forwarded-for                                                address
-- Field x_forwarded_for                                                address
-- Field route_name
-- Field upstream_cluster
-- Field x-request-id                                                   unread
-- Field x_request_id                                                   unread
-- Field request_id                                                     unread
-- Field x_api_key_id
-- Field jwt_iss
-- Field jwt_azp
-- Field jwt_client_id
-- Field jwt_sub
-- Field downstream_peer_uri_san
-- Field commonProperties/startTime
-- Field commonProperties/timeToLastDownstreamTxByte
-- Field commonProperties/upstreamCluster
-- Field commonProperties/routeName
-- Field commonProperties/downstreamRemoteAddress/socketAddress/address
-- Field request/requestMethod
-- Field request/path
-- Field request/originalPath
-- Field request/authority
-- Field request/requestId
-- Field request/requestBodyBytes
-- Field response/responseCode
-- Field response/responseBodyBytes
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, unwrapped(line) AS line
    FROM lines
    WHERE NOT regexp_matches(line, '^\[\s*[{\]]')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (SELECT position, records_in(line, '$[*]') AS records FROM lines WHERE regexp_matches(line, '^\[\s*[{\]]'))
),

cut AS (
    SELECT
        position,
        item,
        line,
        fields(line) AS r,
        CASE WHEN NOT starts_with(line, '{') THEN string_split(line, '"') END AS q
    FROM framed
),

read AS (
    SELECT
        position,
        item,
        line,
        r,
        nullif(regexp_extract(q[1], '^\[([^\]]+)\] $', 1), '') AS time,
        -- A quote in a path is part of it.
        CASE
            WHEN q IS NULL THEN NULL
            WHEN ends_with_protocol(q[2]) THEN regexp_extract(q[2], '^(\S+) (\S+)', ['method', 'target'])
            ELSE regexp_extract(line, '^\[[^\]]+\] "([^\s"]+) (\S+?)(?:" \d|\s|$)', ['method', 'target'])
        END AS request,
        -- Envoy does not escape quotes in a path: such a line is parsed again, slowly, up to the sizes.
        CASE
            WHEN q IS NULL THEN NULL
            WHEN regexp_matches(q[3], '^ (?:\d+|-) ') THEN regexp_extract(
                q[3], '^ (\d+|-) \S+ (?:[a-z]\S* )?(\d+|-) (\d+|-) (\d+|-) (?:\d+|-) $', ['status', 'received', 'sent', 'duration']
            )
            ELSE regexp_extract(
                line,
                '^\[[^\]]+\] "\S+ \S+ [^ "]+" (\d+|-) \S+ (?:[a-z]\S* )?(\d+|-) (\d+|-) (\d+|-) (?:\d+|-) "',
                ['status', 'received', 'sent', 'duration']
            )
        END AS result,
        q[2] AS requested,
        CASE
            WHEN q IS NULL OR ends_with_protocol(q[2]) THEN q[4]
            ELSE regexp_extract(line, '^\[[^\]]+\] "\S+ \S+ [^ "]+" (?:\d+|-) \S+ [^"]*"([^"]*)"', 1)
        END AS forwarded,
        -- From the end: Envoy escapes nothing, and the client controls the user agent before these fields.
        CASE WHEN len(q) >= 13 THEN q[-6] END AS request_id,
        CASE WHEN len(q) >= 13 THEN q[-4] END AS authority
    FROM cut
),

named AS (
    SELECT
        position,
        item,
        line,
        CASE
            WHEN r IS NOT NULL AND is_connection(
                coalesce(r.method, r.":method", r.request.requestMethod), coalesce(r.response_code, r.response.responseCode)
            ) THEN 'NOT_A_REQUEST'
            WHEN r IS NOT NULL THEN NULL
            WHEN time IS NOT NULL AND requested = '- - -' AND result.status = '0' THEN 'NOT_A_REQUEST'
            WHEN time IS NOT NULL AND result.status != '' THEN NULL
            ELSE no_object(line)
        END AS format_reason,
        coalesce(request_id, r."x-request-id", r.x_request_id, r.request_id, r.request.requestId) AS request_id,
        coalesce(time, r.start_time, r.commonProperties.startTime) AS time,
        coalesce(request.method, r.method, r.":method", r.request.requestMethod) AS method,
        coalesce(
            request.target,
            present(r."x-envoy-original-path"), present(r."x-envoy-origin-path"), present(r.x_envoy_original_path), r.path, r.":path",
            r.request.originalPath, r.request.path
        ) AS target,
        coalesce(r.route_name, r.commonProperties.routeName) AS route,
        coalesce(result.status, r.response_code, r.response.responseCode) AS status,
        coalesce(
            result.received, r.bytes_received, r.request.requestBodyBytes, CASE WHEN r.commonProperties IS NOT NULL THEN '0' END
        ) AS request_bytes,
        coalesce(
            result.sent, r.bytes_sent, r.response.responseBodyBytes, CASE WHEN r.commonProperties IS NOT NULL THEN '0' END
        ) AS response_bytes,
        coalesce(
            present(coalesce(result.duration, r.duration)),
            ms_of_duration(r.commonProperties.timeToLastDownstreamTxByte)
        ) AS duration,
        coalesce(
            r.downstream_remote_address,
            r.commonProperties.downstreamRemoteAddress.socketAddress.address,
            split_part(coalesce(forwarded, r."x-forwarded-for", r.x_forwarded_for), ',', 1)
        ) AS client,
        coalesce(r.upstream_cluster, r.commonProperties.upstreamCluster) AS cluster,
        coalesce(authority, r.":authority", r.authority, r.request.authority) AS host,
        present(r.x_api_key_id) AS api_key,
        present(r.jwt_iss) AS issuer,
        coalesce(present(r.jwt_azp), present(r.jwt_client_id), present(r.jwt_sub)) AS issuer_client,
        present(r.downstream_peer_uri_san) AS peer
    FROM read
)

SELECT
    position,
    item,
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
    duration AS latency_ms_text,
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
