-- cloudtrail: the action is eventSource and eventName, or its IAM name from ingest/attribution/calls/macros.sql. The
-- resource is that of `resources`, else derived from the request's parameters.
-- Source: "CloudTrail record contents" (AWS CloudTrail user guide), "Policy actions for Amazon S3" and "Required
--   permissions for Amazon S3 API operations" (Amazon S3 user guide), "Actions, resources, and condition keys for AWS
--   Lambda" (service authorization reference).
-- in:  judged(entry, policy, client_ip, line)
-- out: entry, policy, client_ip, action, resource
WITH parsed AS (
    SELECT
        entry,
        policy,
        client_ip,
        from_json(line, '{
            "eventSource": "VARCHAR", "eventName": "VARCHAR", "awsRegion": "VARCHAR", "recipientAccountId": "VARCHAR",
            "resources": [{"type": "VARCHAR", "ARN": "VARCHAR"}],
            "requestParameters": {"bucketName": "VARCHAR", "key": "VARCHAR", "versionId": "VARCHAR", "functionName": "VARCHAR"}
        }') AS r
    FROM judged
),

named AS (
    SELECT
        entry,
        policy,
        client_ip,
        iam_service(r.eventSource) AS service,
        r.eventName AS operation,
        r.awsRegion AS region,
        r.recipientAccountId AS account,
        list_filter(r.resources, lambda x: x.ARN IS NOT NULL) AS resources,
        r.requestParameters.bucketName AS bucket,
        r.requestParameters.key AS key,
        nullif(r.requestParameters.versionId, '') AS version,
        r.requestParameters.functionName AS called
    FROM parsed
)

SELECT
    entry,
    policy,
    client_ip,
    CASE service
        WHEN 's3' THEN 's3:' || s3_action(operation, version IS NOT NULL)
        WHEN 'lambda' THEN 'lambda:' || lambda_action(operation)
        ELSE service || ':' || operation
    END AS action,
    CASE
        -- Deletes many objects that the record does not list.
        WHEN service = 's3' AND operation = 'DeleteObjects' THEN NULL
        WHEN service = 's3' AND key IS NOT NULL THEN coalesce(
            list_filter(resources, lambda x: x.type = 'AWS::S3::Object')[1].ARN,
            'arn:' || aws_partition(region) || ':s3:::' || bucket || '/' || key
        )
        WHEN service = 's3' THEN coalesce(
            list_filter(resources, lambda x: x.type = 'AWS::S3::Bucket')[1].ARN,
            'arn:' || aws_partition(region) || ':s3:::' || bucket
        )
        WHEN service = 'lambda' THEN coalesce(
            list_filter(resources, lambda x: x.type = 'AWS::Lambda::Function')[1].ARN,
            CASE
                WHEN starts_with(called, 'arn:') THEN called
                ELSE 'arn:' || aws_partition(region) || ':lambda:' || region || ':' || account || ':function:' || called
            END
        )
        -- With several resources, the record does not tell which one the policy must allow.
        WHEN len(resources) = 1 THEN resources[1].ARN
    END AS resource
FROM named
