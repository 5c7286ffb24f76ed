-- aws_apigw: AWS API Gateway access logs of REST, HTTP and WebSocket stages. The stage's format string determines the
-- form: JSON, CLF, CSV and XML as AWS documents them for each of the three, and "key: value" text; also the CloudWatch Logs subscription
-- envelope, in which each log event is an entry.
-- Fields: $context variables. Every value is a string, and '-' means absent, also for numbers.
-- Units: requestTimeEpoch in ms, requestTime in CLF form (1 s); responseLatency in ms; responseLength in bytes of
--   payload. API Gateway does not log the size of a request.
-- Id: extendedRequestId. requestId is safe only on HTTP and WebSocket stages (routeKey), where it is the same. A client
--   of a REST stage can set it by x-amzn-RequestId, and could hide its calls as duplicates: there the id is derived.
-- Identity: apiKeyId (api_key) > userArn > caller (iam) > iss (oidc, with azp, client_id or sub) > principalId
--   (consumer).
-- Field extendedRequestId id
-- Field requestId         id
-- Field apiId
-- Field ip                address
-- Field sourceIp          address
-- Field caller
-- Field userArn
-- Field apiKeyId
-- Field principalId
-- Field iss
-- Field azp
-- Field client_id
-- Field sub
-- Field requestTimeEpoch  time by epoch_number_us
-- Field requestTime       unread
-- Field httpMethod
-- Field resourcePath
-- Field routeKey
-- Field path              unread
-- Field status
-- Field responseLength    response_bytes
-- Field responseLatency   latency
-- Field domainName        unread
-- Field messageType
-- Field owner
-- Field logEvents
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, line
    FROM lines
    WHERE NOT starts_with(line, '{"messageType"') AND NOT starts_with(line, '{"owner"')
    UNION ALL
    SELECT position, unnest(range(len(messages)))::INTEGER AS item, unnest(messages) AS line
    FROM (
        SELECT
            position,
            CASE
                WHEN len(events) > 0 THEN list_transform(events, lambda e: coalesce(e.message, ''))
                ELSE [line]
            END AS messages
        FROM (
            SELECT position, line, log_events_in(line) AS events
            FROM lines
            WHERE starts_with(line, '{"messageType"') OR starts_with(line, '{"owner"')
        )
    )
),

parsed AS (
    SELECT
        position,
        item,
        line,
        fields(line) AS r,
        -- Text forms: fields in the order of AWS's documented CLF and CSV format strings.
        CASE
            WHEN starts_with(line, '{') THEN NULL
            WHEN starts_with(line, '<request ') AND regexp_matches(line, '</request>\s*$') THEN struct_pack(
                ip := regexp_extract(line, '<ip>([^<]*)</ip>', 1),
                caller := regexp_extract(line, '<caller>([^<]*)</caller>', 1),
                "time" := regexp_extract(line, '<requestTime>([^<]*)</requestTime>', 1),
                method := regexp_extract(line, '<httpMethod>([^<]*)</httpMethod>', 1),
                route := regexp_extract(line, '<(?:resourcePath|routeKey)>([^<]*)</', 1),
                status := regexp_extract(line, '<status>([^<]*)</status>', 1),
                bytes := regexp_extract(line, '<responseLength>([^<]*)</responseLength>', 1),
                request_id := regexp_extract(line, '^<request id="([^"]*)"', 1),
                extended_id := regexp_extract(line, '<extendedRequestId>([^<]*)</extendedRequestId>', 1)
            )
            WHEN starts_with(line, 'requestId: ') THEN struct_pack(
                ip := regexp_extract(line, ', ip: ([^,]*)', 1),
                caller := regexp_extract(line, ', caller: ([^,]*)', 1),
                "time" := regexp_extract(line, ', requestTime: ([^,]*)', 1),
                method := regexp_extract(line, ', httpMethod: ([^,]*)', 1),
                route := regexp_extract(line, ', (?:resourcePath|routeKey): ([^,]*)', 1),
                status := regexp_extract(line, ', status: ([^,\s]*)', 1),
                bytes := regexp_extract(line, ', responseLength: ([^,\s]*)', 1),
                request_id := regexp_extract(line, '^requestId: ([^,]*)', 1),
                extended_id := regexp_extract(line, ', extendedRequestId: ([^,\s]*)', 1)
            )
            -- Of a WebSocket API: "event route connection" status id.
            WHEN regexp_matches(line, '\] ?"(?:CONNECT|MESSAGE|DISCONNECT) ') AND NOT contains(line, ' HTTP/') THEN regexp_extract(
                line,
                '^(\S+) (\S+) \S+ \[([^\]]+)\] ?"\S+()(?: ([^" ]+))?(?: [^" ]*)?" +(\d+|-)() +([^\s"]+)(?: +([^\s"]+))?\s*$',
                ['ip', 'caller', 'time', 'method', 'route', 'status', 'bytes', 'request_id', 'extended_id']
            )
            -- The route of an HTTP API is its key, "GET /v1/orders" or $default.
            WHEN contains(line, '[') THEN regexp_extract(
                line,
                '^(\S+) (\S+) \S+ \[([^\]]+)\] ?"(\S+) ([^"]+) [^" ]+" +(\d+|-) +(\d+|-) +([^\s"]+)(?: +([^\s"]+))?\s*$',
                ['ip', 'caller', 'time', 'method', 'route', 'status', 'bytes', 'request_id', 'extended_id']
            )
            -- Of an HTTP API: ip, time, method, route key, protocol, status, length, id.
            WHEN regexp_matches(line, '^[^,]+,\d\d/') THEN regexp_extract(
                line,
                '^([^,]+)(),([^,]+),([^,]+),([^,]+),[^,]+,(\d+|-),(\d+|-),([^,\s]+)(?:,([^,\s]+))?\s*$',
                ['ip', 'caller', 'time', 'method', 'route', 'status', 'bytes', 'request_id', 'extended_id']
            )
            -- Of a WebSocket API: ip, caller, user, time, event, route key, and status and connection in either order, id.
            WHEN regexp_matches(line, '^(?:[^,]+,){4}(?:CONNECT|MESSAGE|DISCONNECT),') AND NOT contains(line, ',HTTP/') THEN regexp_extract(
                line,
                '^([^,]+),([^,]+),[^,]+,([^,]+),[^,]+(),([^,]+),(?:[^,]*,)??(\d{3}|-)()(?:,[^,]*)?,([^,\s]+)()\s*$',
                ['ip', 'caller', 'time', 'method', 'route', 'status', 'bytes', 'request_id', 'extended_id']
            )
            ELSE regexp_extract(
                line,
                '^([^,]+),([^,]+),[^,]+,([^,]+),([^,]+),([^,]+),[^,]+,(\d+|-),(\d+|-),([^,\s]+)(?:,([^,\s]+))?\s*$',
                ['ip', 'caller', 'time', 'method', 'route', 'status', 'bytes', 'request_id', 'extended_id']
            )
        END AS t
    FROM framed
),

named AS (
    SELECT
        position,
        item,
        line,
        CASE
            WHEN r.messageType IS NOT NULL THEN 'NOT_A_REQUEST'
            WHEN r IS NOT NULL OR t.time != '' THEN NULL
            WHEN starts_with(line, '{') OR NOT json_valid(line) THEN 'NOT_JSON'
            ELSE 'NOT_OBJECT'
        END AS format_reason,
        present(coalesce(r.requestId, t.request_id)) AS request_id,
        present(coalesce(r.extendedRequestId, t.extended_id)) AS extended_id,
        present(r.requestTimeEpoch) AS epoch_text,
        present(coalesce(r.requestTime, t.time)) AS clf_text,
        present(coalesce(r.httpMethod, t.method)) AS method,
        present(r.path) AS target,
        present(coalesce(r.resourcePath, t.route)) AS resource_path,
        present(r.routeKey) AS route_key,
        r.routeKey IS NOT NULL AS has_route_key,
        present(coalesce(r.status, t.status)) AS status_text,
        present(coalesce(r.responseLength, t.bytes)) AS response_bytes_text,
        present(r.responseLatency) AS latency_ms_text,
        present(coalesce(r.ip, r.sourceIp, t.ip)) AS client_ip_text,
        present(r.apiKeyId) AS api_key,
        coalesce(present(r.userArn), present(r.caller), present(t.caller)) AS iam,
        present(r.iss) AS issuer,
        coalesce(present(r.azp), present(r.client_id), present(r.sub)) AS client,
        present(r.principalId) AS principal,
        present(r.apiId) AS service,
        present(r.domainName) AS host_text
    FROM parsed
)

SELECT
    position,
    item,
    line,
    format_reason,
    coalesce(extended_id, request_id) AS event_id,
    extended_id IS NOT NULL OR has_route_key AS id_is_safe,
    coalesce(epoch_text, clf_text) AS time_text,
    coalesce(epoch_number_us(epoch_text), clf_time_us(clf_text)) AS time_us,
    method,
    target,
    coalesce(resource_path, route_key) AS route,
    status_text,
    NULL::VARCHAR AS request_bytes_text,
    response_bytes_text,
    latency_ms_text,
    client_ip_text,
    CASE
        WHEN api_key IS NOT NULL THEN 'api_key'
        WHEN iam IS NOT NULL THEN 'iam'
        WHEN issuer IS NOT NULL THEN 'oidc'
        WHEN principal IS NOT NULL THEN 'consumer'
        ELSE 'none'
    END AS identity_kind,
    coalesce(api_key, iam, issuer, principal) AS identity_value,
    CASE WHEN api_key IS NULL AND iam IS NULL AND issuer IS NOT NULL THEN client END AS identity_client,
    service,
    host_text
FROM named
