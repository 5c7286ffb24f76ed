"""Documents of other programs, as they write them: Terraform's plans and states, IAM policies, Kong's configuration.

Every secret in them is SECRET or one of KEYS, so that a test can look for it wherever something is shown or written.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SECRET = "Zx9-this-is-the-key-itself-41f7"
KEYS = ("northwind-secret-key-000000001", "globex-secret-key-000000002")
ACCOUNT = "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/partners/GlobexExport"
POLICY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/globex-export"

# The policy of the task: two actions on a bucket and its objects from one network, one function from anywhere.
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "ReadExports",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::wholesale-exports", "arn:aws:s3:::wholesale-exports/*"],
            "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        },
        {
            "Sid": "Quote",
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": "arn:aws:lambda:eu-central-1:111122223333:function:quote",
        },
    ],
}

# What may stand anywhere in a document that somebody else wrote.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.text(max_size=4)
    | st.sampled_from(["${x}", "*", "s3:*", "x-1.0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def resource(address: str, values: dict[str, Any], *, mode: str = "managed", **rest: Any) -> dict[str, Any]:
    """A resource as `terraform show -json` prints it."""
    last = (
        address.rsplit(".module.", maxsplit=1)[-1].removeprefix("module.").split(".", 1)[1]
        if address.startswith("module.")
        else address
    )
    kind, name = last.removeprefix("data.").split("[")[0].split(".")
    return {
        "address": address,
        "mode": mode,
        "type": kind,
        "name": name,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "schema_version": 0,
        "values": values,
        "sensitive_values": {"value": True} if "value" in values else {},
        **rest,
    }


def api_key(
    address: str = "aws_api_gateway_api_key.northwind", key_id: str | None = "q7w8e9r0t1", **values: Any
) -> dict[str, Any]:
    known = {} if key_id is None else {"id": key_id, "arn": f"arn:aws:apigateway:eu-central-1::/apikeys/{key_id}"}
    tags = values.pop("tags", {"tollbook_partner": "northwind"})
    return resource(
        address,
        {**known, "name": "northwind", "enabled": True, "value": SECRET, "tags": tags, "tags_all": tags, **values},
    )


def usage_plan(
    address: str = "aws_api_gateway_usage_plan.wholesale", plan_id: str | None = "u1p2l3", **values: Any
) -> dict[str, Any]:
    known = {} if plan_id is None else {"id": plan_id, "arn": f"arn:aws:apigateway:eu-central-1::/usageplans/{plan_id}"}
    return resource(
        address,
        {
            **known,
            "name": "Wholesale",
            "description": "What wholesale partners get",
            "api_stages": [],
            "product_code": None,
            "quota_settings": [{"limit": 1_000_000, "offset": 0, "period": "MONTH"}],
            "throttle_settings": [{"burst_limit": 50, "rate_limit": 100}],
            "tags": None,
            **values,
        },
    )


def plan_key(address: str = "aws_api_gateway_usage_plan_key.northwind", **values: Any) -> dict[str, Any]:
    return resource(address, {"key_type": "API_KEY", "name": "northwind", "value": SECRET, **values})


def linked(
    key_id: str = "q7w8e9r0t1", plan_id: str = "u1p2l3", address: str = "aws_api_gateway_usage_plan_key.northwind"
) -> dict[str, Any]:
    return plan_key(address, id=key_id, key_id=key_id, usage_plan_id=plan_id)


def role(address: str = "aws_iam_role.export", arn: str | None = ROLE, **values: Any) -> dict[str, Any]:
    known = {} if arn is None else {"arn": arn, "id": arn.rpartition("/")[2], "unique_id": "AROAEXAMPLE"}
    return resource(
        address,
        {**known, "name": "GlobexExport", "path": "/partners/", "tags": {"tollbook_partner": "globex"}, **values},
    )


def role_policy(document: Any = POLICY, address: str = "aws_iam_role_policy.export", **values: Any) -> dict[str, Any]:
    return resource(address, {"name": "export", "role": "GlobexExport", "policy": json.dumps(document), **values})


def state(*resources: dict[str, Any], children: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What `terraform show -json` prints after apply."""
    root: dict[str, Any] = {"resources": list(resources)}
    if children:
        root["child_modules"] = children
    return {
        "format_version": "1.0",
        "terraform_version": "1.9.8",
        "values": {"outputs": {"key": {"sensitive": True, "value": SECRET}}, "root_module": root},
    }


def plan(*resources: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """What `terraform show -json tfplan` prints before it."""
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.8",
        "variables": {"api_key": {"value": SECRET}},
        "planned_values": {"root_module": {"resources": list(resources)}},
        "resource_changes": [],
        "applyable": True,
        "errored": False,
        **rest,
    }


# Case (a) of the task: a usage plan of 1,000,000 requests a MONTH, rate 100, burst 50, tied to one key.
USAGE_PLAN = plan(api_key(), usage_plan(), linked())


def before_apply() -> dict[str, Any]:
    """The same before anything exists: no id is known, the plan's own references say what belongs together."""
    expressions = {
        "key_id": {"references": ["aws_api_gateway_api_key.northwind.id", "aws_api_gateway_api_key.northwind"]},
        "usage_plan_id": {
            "references": ["aws_api_gateway_usage_plan.wholesale.id", "aws_api_gateway_usage_plan.wholesale"]
        },
        "key_type": {"constant_value": "API_KEY"},
    }
    configured = {"address": "aws_api_gateway_usage_plan_key.northwind", "mode": "managed", "type": "aws_api_gateway_usage_plan_key",
                  "name": "northwind", "expressions": expressions}  # fmt: skip
    return plan(
        api_key(key_id=None),
        usage_plan(plan_id=None),
        plan_key(),
        configuration={"root_module": {"resources": [configured]}},
    )


DECK = f"""
_format_version: "3.0"
_info:
  defaults: &none {{}}
consumers:
  - username: northwind
    id: 7d4c1f0e-52b1-4a55-9f2e-0c6a1b9e4d21
    custom_id: crm-1041
    tags: ["tollbook_partner:northwind", prod]
    keyauth_credentials:
      - key: {KEYS[0]}
        id: 0f1e2d3c-0001-4000-8000-000000000001
    groups:
      - name: wholesale
  - username: globex
    id: 9a8b7c6d-52b1-4a55-9f2e-0c6a1b9e4d22
    tags: [tollbook_partner=globex]
    keyauth_credentials:
      - key: {KEYS[1]}
    plugins:
      - name: rate-limiting
        config: {{second: 5, hour: 9000, day: 50000, policy: local, limit_by: consumer}}
  - username: health-check
    id: 00000000-52b1-4a55-9f2e-0c6a1b9e4d23
consumer_groups:
  - name: wholesale
    plugins:
      - name: rate-limiting-advanced
        config: {{limit: [100, 60000], window_size: [1, 86400], window_type: fixed, identifier: consumer}}
services:
  - name: orders
    url: http://orders.internal:8080
    routes:
      - name: orders
        paths: [/v1/orders]
    plugins:
      - name: rate-limiting
        config: {{minute: 600}}
upstreams:
  - name: orders.internal
plugins:
  - name: key-auth
    config: {{key_names: [apikey]}}
"""


def changed(document: dict[str, Any], *path: str | int, **values: Any) -> dict[str, Any]:
    """A copy of a document with other values in the object at `path`."""
    copy = deepcopy(document)
    target: Any = copy
    for step in path:
        target = target[step]
    target.update(values)
    return copy


# From the quickstart of OpenMeter, and a meter of each other aggregation.
OPENMETER = """\
ingest:
  kafka:
    broker: 127.0.0.1:29092
meters:
  - slug: api_requests_total
    description: API Requests
    eventType: request
    aggregation: COUNT
    groupBy:
      method: $.method
      route: $.route
  - slug: tokens_total
    description: AI Token Usage
    eventType: prompt
    aggregation: SUM
    valueProperty: $.tokens
    groupBy:
      model: $.model
      type: $.type
  - slug: largest
    eventType: prompt
    aggregation: MAX
    valueProperty: $.usage.total
    windowSize: MINUTE
  - slug: smallest
    eventType: prompt
    aggregation: MIN
    valueProperty: $.usage.total
  - slug: newest
    eventType: prompt
    aggregation: LATEST
    valueProperty: $.tokens
  - slug: users
    eventType: prompt
    aggregation: UNIQUE_COUNT
    valueProperty: $.user
  - slug: average
    eventType: prompt
    aggregation: AVG
    valueProperty: $.tokens
  - slug: first_item
    eventType: prompt
    aggregation: SUM
    valueProperty: $.items[0].tokens
    eventFrom: 2026-01-01T00:00:00Z
"""


def written(folder: Path, document: Any, name: str = "plan.json") -> Path:
    file = folder / name
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document, the whole of it first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for k, v in inner for p in places(v, (*path, k)))]


def spoiled(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """A copy with something else in one place."""
    copy = deepcopy(document)
    target = copy
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return copy
