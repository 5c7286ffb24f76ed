-- cloudtrail: AWS CloudTrail, data events of S3 and Lambda and any other API call: files {"Records": […]} as they lie in S3,
-- or one record a line.
-- Fields: record contents, versions 1.03 to 1.11. Only eventType AwsApiCall is a request. Sign-ins, service events and
--   insights are none, nor are NetworkActivity events, the VPC endpoint owner's copy of a call that is logged elsewhere.
-- Units: eventTime in UTC, 1 s; bytesTransferredIn and bytesTransferredOut in bytes (S3 data events only). There is no method,
--   path, status or latency; the route is eventName. A refused call (errorCode) is an entry like any other.
-- Id: eventID, made by CloudTrail; records without one: derived. Copies of one call in the trails of several accounts have
--   ids of their own (and one sharedEventID): read the trail of one account, that of the resources' owner.
-- Varying: id eventID, time eventTime, address sourceIPAddress, unread requestParameters/Host, unread tlsDetails/clientProvidedHostHeader
-- Varying: request_bytes additionalEventData/bytesTransferredIn, response_bytes additionalEventData/bytesTransferredOut
-- Identity: userIdentity.arn, of an assumed role the ARN of its session, else principalId (iam). An anonymous caller has none.
-- in:  lines(position, line)
-- out: the entry columns of ingest/decode/sql/normalise.sql
WITH framed AS (
    SELECT position, 0 AS item, line
    FROM lines
    WHERE starts_with(line, '{"') AND NOT starts_with(line, '{"Records"')
    UNION ALL
    SELECT position, unnest(range(len(records)))::INTEGER AS item, unnest(records) AS line
    FROM (
        SELECT position, records_in(line, '$.Records[*]') AS records
        FROM lines
        WHERE NOT (starts_with(line, '{"') AND NOT starts_with(line, '{"Records"'))
    )
),

parsed AS (
    SELECT
        position,
        item,
        line,
        CASE WHEN starts_with(line, '{') AND json_valid(line) THEN from_json(line, '{
            "eventID": "VARCHAR", "eventTime": "VARCHAR", "eventSource": "VARCHAR", "eventName": "VARCHAR",
            "eventType": "VARCHAR", "eventCategory": "VARCHAR", "sourceIPAddress": "VARCHAR", "Records": "VARCHAR",
            "userIdentity": {"arn": "VARCHAR", "principalId": "VARCHAR"},
            "additionalEventData": {"bytesTransferredIn": "VARCHAR", "bytesTransferredOut": "VARCHAR"},
            "requestParameters": {"Host": "VARCHAR"},
            "tlsDetails": {"clientProvidedHostHeader": "VARCHAR"}
        }') END AS r
    FROM framed
)

SELECT
    position,
    item,
    line,
    CASE
        WHEN r IS NULL THEN no_object(line)
        WHEN r.eventName IS NULL OR r.eventType IS DISTINCT FROM 'AwsApiCall' OR r.eventCategory = 'NetworkActivity' THEN 'NOT_A_REQUEST'
    END AS format_reason,
    nullif(r.eventID, '') AS event_id,
    TRUE AS id_is_safe,
    r.eventTime AS time_text,
    iso_time_us(r.eventTime) AS time_us,
    NULL::VARCHAR AS method,
    NULL::VARCHAR AS target,
    r.eventName AS route,
    NULL::VARCHAR AS status_text,
    r.additionalEventData.bytesTransferredIn AS request_bytes_text,
    r.additionalEventData.bytesTransferredOut AS response_bytes_text,
    NULL::VARCHAR AS latency_ms_text,
    -- A service that calls on somebody's behalf is logged by its name.
    nullif(regexp_extract(r.sourceIPAddress, '^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F.]*:[0-9a-fA-F:.]+)$'), '') AS client_ip_text,
    CASE WHEN coalesce(nullif(r.userIdentity.arn, ''), nullif(r.userIdentity.principalId, '')) IS NULL THEN 'none' ELSE 'iam' END
        AS identity_kind,
    coalesce(nullif(r.userIdentity.arn, ''), nullif(r.userIdentity.principalId, '')) AS identity_value,
    NULL::VARCHAR AS identity_client,
    r.eventSource AS service,
    -- Host, in old records host, is a text, or a list with one.
    nullif(regexp_extract(coalesce(
        r.tlsDetails.clientProvidedHostHeader,
        r.requestParameters.Host,
        CASE WHEN r IS NOT NULL THEN json_extract_string(line, '$.requestParameters.host') END
    ), '^(?:\["?)?([^"\]]*)', 1), '') AS host_text
FROM parsed
