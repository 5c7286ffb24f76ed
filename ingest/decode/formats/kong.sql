-- kong: Kong Gateway log plugins (http-log, file-log, tcp-log, kafka-log …), one JSON object or array per line; also
-- lines of the NGINX access log (combined), which file-log may mix in.
-- Fields: kong.log.serialize(), Kong 2.0 to 3.x.
-- Units: started_at in ms since the epoch (values below 10^11: seconds); latencies in ms; sizes in bytes, headers
--   included; request.size and response.size are numbers or strings.
-- Id: request.id, else the response header x-kong-request-id, in an access line kong_request_id. Kong generates them; a
--   client cannot choose them. A request that Kong logs in both ways therefore counts once. Older Kong has none: derived.
--   Correlation-id headers are not used, since a client may set them.
-- Identity: consumer.id, else authenticated_entity.consumer_id (consumer); else authenticated_entity.id (api_key). The
--   user of an access line is a claim (see docs/formats.md), and with kong_request_id none at all: in Kong no part of
--   NGINX checks users.
-- Field request/id                         id
-- Field request/method
-- Field request/uri                        unread
-- Field request/size                       request_bytes
-- Field request/headers/host               unread
-- Field response/status
-- Field response/size                      response_bytes
-- Field response/headers/x-kong-request-id id
-- Field latencies/request                  latency
-- Field started_at                         time by epoch_number_us
-- Field client_ip                          address
-- Field route/id
-- Field route/name
-- Field service/id
-- Field service/name
-- Field consumer/id
-- Field authenticated_entity/id
-- Field authenticated_entity/consumer_id
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, unwrapped(line) AS line
    FROM lines
    WHERE NOT starts_with(line, '[')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (
        SELECT position, records_in(line, '$[*]') AS records
        FROM lines
        WHERE starts_with(line, '[')
    )
),

parsed AS (
    SELECT
        position,
        item,
        line,
        fields(line) AS r,
        CASE WHEN NOT starts_with(line, '{') THEN quote_parts(line) END AS q
    FROM framed
),

requested AS (
    SELECT position, item, line, r, whole_request(q) AS q
    FROM parsed
),

read AS (
    SELECT
        position,
        item,
        line,
        r,
        clf_head(q[1]) AS head,
        request_line(q[2]) AS request,
        clf_result(q[3]) AS result,
        -- Kong writes its id of the request after all fields that a client fills, and escapes quotes in those.
        CASE WHEN suffix(q[-3], ' kong_request_id: ') THEN q[-2] END AS kong_request_id
    FROM requested
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NOT NULL AND r.request IS NULL THEN 'NOT_A_REQUEST'
        WHEN r IS NOT NULL OR (head.time != '' AND result.status != '') THEN NULL
        -- What NGINX's error log, on the same stream, says of a connection. Its other messages have no form of their own.
        WHEN regexp_matches(line, '^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d+#\d+: \*\d+ ') THEN 'NOT_A_REQUEST'
        WHEN starts_with(line, '{') OR NOT json_valid(line) THEN 'NOT_JSON'
        ELSE 'NOT_OBJECT'
    END AS format_reason,
    coalesce(r.request.id, r.response.headers['x-kong-request-id'], kong_request_id) AS event_id,
    TRUE AS id_is_safe,
    coalesce(r.started_at, nullif(head.time, '')) AS time_text,
    coalesce(epoch_number_us(r.started_at), clf_time_us(head.time)) AS time_us,
    coalesce(r.request.method, present(request.method)) AS method,
    coalesce(r.request.uri, present(unescaped(request.target))) AS target,
    coalesce(r.route.name, r.route.id) AS route,
    coalesce(r.response.status, present(result.status)) AS status_text,
    r.request.size AS request_bytes_text,
    coalesce(r.response.size, present(result.bytes)) AS response_bytes_text,
    r.latencies.request AS latency_ms_text,
    coalesce(r.client_ip, present(head.client)) AS client_ip_text,
    CASE
        WHEN coalesce(r.consumer.id, r.authenticated_entity.consumer_id) IS NOT NULL THEN 'consumer'
        WHEN r.authenticated_entity.id IS NOT NULL THEN 'api_key'
        WHEN kong_request_id IS NULL AND claimed_user(head.user, result.status) IS NOT NULL THEN 'claimed'
        ELSE 'none'
    END AS identity_kind,
    coalesce(
        r.consumer.id,
        r.authenticated_entity.consumer_id,
        r.authenticated_entity.id,
        CASE WHEN kong_request_id IS NULL THEN claimed_user(head.user, result.status) END
    ) AS identity_value,
    NULL::VARCHAR AS identity_client,
    coalesce(r.service.name, r.service.id) AS service,
    r.request.headers.host AS host_text
FROM read
