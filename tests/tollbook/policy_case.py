"""A catalog with a policy of IAM, and CloudTrail records inside and outside of it."""

from tests.ingest.test_credential_types import ROLE
from tests.ingest.test_outside import BUCKET, ELSEWHERE, OBJECTS, QUOTE, got, invoked, listed, trail

PARTNERS = f"""
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{{plan: small, valid_from: 2026-01-01}}]
    credentials:
      - kind: iam
        id: {ROLE}
        allow:
          - {{actions: ["s3:GetObject", "s3:ListBucket"], resources: ["{BUCKET}", "{OBJECTS}"], networks: [203.0.113.0/24]}}
          - {{actions: ["lambda:InvokeFunction"], resources: ["{QUOTE}"]}}
"""
INSIDE_LINES = [got("a"), got("b"), listed(), listed("HeadBucket"), invoked(), invoked("quote")]
OUTSIDE_LINES = {
    "NETWORK": [got("a", ELSEWHERE), got("b", ELSEWHERE), listed(ip=ELSEWHERE)],
    "ACTION": [trail("PutObject", requestParameters={"bucketName": "wholesale", "key": "a"})],
    "RESOURCE": [got("a", bucket="retail"), invoked("another")],
    "UNKNOWN": [got("a", "athena.amazonaws.com")],
}
LINES = [*INSIDE_LINES, *(line for lines in OUTSIDE_LINES.values() for line in lines)]
