"""A policy from IAM's own JSON to marked usage: what the import writes is what the check of usage reads."""

import json
from typing import Any

import pytest

from tests.billing.import_documents import written
from tests.ingest.test_credential_types import ROLE
from tests.ingest.test_outside import BUCKET, OBJECTS, QUOTE
from tests.tollbook.fixtures import Here
from tests.tollbook.policy_case import LINES, OUTSIDE_LINES

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [BUCKET, OBJECTS],
            "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        },
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": QUOTE},
    ],
}
EVERYTHING_DENIED = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}


def outside(here: Here, document: Any) -> dict[str, int]:
    """Import a policy, read CloudTrail's records; how many of them are counted, and marked as what."""
    file = written(here.folder, document, "policy.json")
    words = ["--catalog", here.catalog, "--principal", ROLE, "--partner", "acme", "--yes"]
    assert here.tollbook("catalog", "import", "iam", file, *words).code == 0
    run = ["run", "--catalog", here.catalog, "--lake", here.lake, "--format", "cloudtrail", "--source", "aws", "--json"]
    report = here.tollbook(*run, here.log("trail.json", *LINES)).json
    assert (report["counted"], report["refused"]) == (len(LINES), 0)
    marks: dict[str, int] = report["outside"]
    return marks


def test_usage_is_marked_by_the_policy_that_was_imported(here: Here) -> None:
    """Two actions on one bucket from one network, one function from anywhere; every call is counted, those outside
    are marked.
    """
    assert outside(here, POLICY) == {mark: len(lines) for mark, lines in OUTSIDE_LINES.items()}


@pytest.mark.parametrize(
    "deny", [{}, {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}], ids=["always", "now and then"]
)
def test_of_a_principal_that_is_denied_everything_all_is_marked(here: Here, deny: dict[str, Any]) -> None:
    """The grant that fits nothing does what no grant at all would not."""
    document = json.loads(json.dumps(EVERYTHING_DENIED))
    document["Statement"][0] |= deny
    document["Statement"] += POLICY["Statement"]
    assert sum(outside(here, document).values()) == len(LINES)
