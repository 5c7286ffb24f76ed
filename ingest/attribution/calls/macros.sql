-- Names that AWS uses in policies. Run once per connection. Sources: "Policy actions for Amazon S3", "Required
-- permissions for Amazon S3 API operations", "Amazon S3 server access log format" (Amazon S3 user guide); "Actions,
-- resources, and condition keys" of AWS Lambda, Amazon CloudWatch and Amazon SES (service authorization reference).

-- The service prefix of an action, from the host in CloudTrail's eventSource.
CREATE OR REPLACE TEMP MACRO iam_service(event_source) AS CASE split_part(event_source, '.', 1)
    WHEN 'monitoring' THEN 'cloudwatch'
    WHEN 'email' THEN 'ses'
    WHEN 'tagging' THEN 'tag'
    ELSE split_part(event_source, '.', 1)
END;

-- The partition of a region.
CREATE OR REPLACE TEMP MACRO aws_partition(region) AS CASE
    WHEN starts_with(region, 'cn-') THEN 'aws-cn'
    WHEN starts_with(region, 'us-gov-') THEN 'aws-us-gov'
    ELSE 'aws'
END;

-- The action that allows an S3 operation. Operations not listed here have an action of the same name.
CREATE OR REPLACE TEMP MACRO s3_action(operation, of_version) AS CASE
    WHEN operation IN ('ListObjects', 'ListObjectsV2', 'HeadBucket') THEN 'ListBucket'
    WHEN operation = 'ListObjectVersions' THEN 'ListBucketVersions'
    WHEN operation = 'ListMultipartUploads' THEN 'ListBucketMultipartUploads'
    WHEN operation = 'ListParts' THEN 'ListMultipartUploadParts'
    WHEN operation = 'ListBuckets' THEN 'ListAllMyBuckets'
    WHEN operation IN ('GetObject', 'HeadObject') AND of_version THEN 'GetObjectVersion'
    WHEN operation IN ('HeadObject', 'SelectObjectContent') THEN 'GetObject'
    WHEN operation IN ('CopyObject', 'PostObject', 'CreateMultipartUpload', 'UploadPart', 'UploadPartCopy', 'CompleteMultipartUpload')
        THEN 'PutObject'
    WHEN operation = 'DeleteObject' AND of_version THEN 'DeleteObjectVersion'
    WHEN operation = 'DeleteObjects' THEN 'DeleteObject'
    WHEN operation IN ('GetObjectAcl', 'PutObjectAcl', 'GetObjectTagging', 'PutObjectTagging', 'DeleteObjectTagging', 'GetObjectAttributes', 'GetObjectTorrent') AND of_version
        THEN replace(operation, 'Object', 'ObjectVersion')
    WHEN operation IN ('GetBucketEncryption', 'PutBucketEncryption') THEN replace(operation, 'BucketEncryption', 'EncryptionConfiguration')
    WHEN operation IN ('GetBucketLifecycle', 'GetBucketLifecycleConfiguration') THEN 'GetLifecycleConfiguration'
    WHEN operation IN ('PutBucketLifecycle', 'PutBucketLifecycleConfiguration') THEN 'PutLifecycleConfiguration'
    WHEN operation IN ('GetBucketReplication', 'PutBucketReplication') THEN replace(operation, 'BucketReplication', 'ReplicationConfiguration')
    WHEN operation = 'GetBucketNotificationConfiguration' THEN 'GetBucketNotification'
    WHEN operation = 'PutBucketNotificationConfiguration' THEN 'PutBucketNotification'
    ELSE operation
END;

-- The operation that an S3 server access log writes as REST.method.kind; NULL if several operations share the text.
CREATE OR REPLACE TEMP MACRO s3_logged_operation(logged) AS CASE logged
    WHEN 'REST.GET.OBJECT' THEN 'GetObject'
    WHEN 'REST.HEAD.OBJECT' THEN 'HeadObject'
    WHEN 'REST.PUT.OBJECT' THEN 'PutObject'
    WHEN 'REST.POST.OBJECT' THEN 'PostObject'
    WHEN 'REST.COPY.OBJECT' THEN 'CopyObject'
    WHEN 'REST.COPY.OBJECT_GET' THEN 'GetObject'
    WHEN 'REST.COPY.PART' THEN 'UploadPartCopy'
    WHEN 'REST.COPY.PART_GET' THEN 'GetObject'
    WHEN 'REST.DELETE.OBJECT' THEN 'DeleteObject'
    WHEN 'REST.POST.MULTI_OBJECT_DELETE' THEN 'DeleteObjects'
    WHEN 'REST.GET.OBJECT_TAGGING' THEN 'GetObjectTagging'
    WHEN 'REST.PUT.OBJECT_TAGGING' THEN 'PutObjectTagging'
    WHEN 'REST.DELETE.OBJECT_TAGGING' THEN 'DeleteObjectTagging'
    WHEN 'REST.POST.UPLOADS' THEN 'CreateMultipartUpload'
    WHEN 'REST.PUT.PART' THEN 'UploadPart'
    WHEN 'REST.POST.UPLOAD' THEN 'CompleteMultipartUpload'
    WHEN 'REST.DELETE.UPLOAD' THEN 'AbortMultipartUpload'
    WHEN 'REST.GET.UPLOAD' THEN 'ListParts'
    WHEN 'REST.GET.UPLOADS' THEN 'ListMultipartUploads'
    WHEN 'REST.GET.BUCKET' THEN 'ListObjects'
    WHEN 'REST.HEAD.BUCKET' THEN 'HeadBucket'
    WHEN 'REST.GET.BUCKETVERSIONS' THEN 'ListObjectVersions'
    WHEN 'REST.GET.LOCATION' THEN 'GetBucketLocation'
    WHEN 'REST.GET.VERSIONING' THEN 'GetBucketVersioning'
    WHEN 'REST.GET.BUCKETPOLICY' THEN 'GetBucketPolicy'
    WHEN 'REST.GET.SERVICE' THEN 'ListBuckets'
END;

-- The action that allows a Lambda operation. CloudTrail appends the API version to most names.
CREATE OR REPLACE TEMP MACRO lambda_action(operation) AS CASE
    WHEN operation IN ('Invoke', 'InvokeAsync', 'InvokeWithResponseStream') THEN 'InvokeFunction'
    ELSE regexp_replace(operation, '\d{8}(?:v\d+)?$', '')
END;
