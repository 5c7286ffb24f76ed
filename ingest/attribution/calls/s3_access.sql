-- s3_access: the action is that of the operation, which the log names by method and kind of resource. Operations that
-- are not in the table have no action. The resource is bucket and key; the log URL-encodes keys.
-- Source: "Amazon S3 server access log format", "Policy actions for Amazon S3" (Amazon S3 user guide).
-- in:  judged(entry, policy, client_ip, line)
-- out: entry, policy, client_ip, action, resource
WITH parts AS (
    SELECT entry, policy, client_ip, string_split(rtrim(line), '"') AS parts
    FROM judged
),

fields AS (
    SELECT
        entry,
        policy,
        client_ip,
        string_split(parts[1], ' ') AS head,
        CASE WHEN len(parts) >= 5 THEN present(string_split(parts[-1], ' ')[2]) END AS version
    FROM parts
),

named AS (
    SELECT
        entry,
        policy,
        client_ip,
        version,
        s3_logged_operation(head[8]) AS operation,
        'arn:' || coalesce(nullif(regexp_extract(head[6], '^arn:([^:]+):', 1), ''), 'aws') || ':s3:::' || head[2] AS bucket,
        url_decode(present(head[9])) AS key
    FROM fields
)

SELECT
    entry,
    policy,
    client_ip,
    's3:' || s3_action(operation, version IS NOT NULL) AS action,
    CASE
        WHEN operation = 'DeleteObjects' THEN NULL
        WHEN key IS NOT NULL THEN bucket || '/' || key
        ELSE bucket
    END AS resource
FROM named
