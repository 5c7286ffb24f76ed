"""AWS API Gateway over boto3: reads the keys that the catalog has, and makes the calls of a plan.

The value of a key is never asked for. A message of AWS is never shown, only its code.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tollbook.aws.plan import Call, GatewayKey, KeyUsage, WantedKey, needs_usage


class AwsRefused(Exception):
    """AWS could not be asked. Whoever runs the command must correct the region, the credentials or their rights."""


class ApiGateway(Protocol):
    """What is called of boto3's client of API Gateway."""

    def get_paginator(self, operation_name: str) -> Any:
        """All pages of a list."""

    def get_usage(self, **arguments: Any) -> Mapping[str, Any]:
        """What is used and left of a usage plan."""


class Made(NamedTuple):
    """A call that was made; `error` is AWS's code if it refused."""

    call: Call
    error: str | None


def connected(region: str | None) -> ApiGateway:
    """A client with the credentials that boto3 finds. Raises AwsRefused."""
    try:
        client: ApiGateway = boto3.client(
            "apigateway", region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 6})
        )
    except (BotoCoreError, ValueError) as exc:
        raise AwsRefused(f"AWS: {type(exc).__name__}; see --region and the credentials of boto3") from exc
    return client


def keys_of(client: ApiGateway, wanted: Sequence[WantedKey], *, now: datetime) -> dict[str, GatewayKey]:
    """The wanted keys that AWS has, by id. Raises AwsRefused."""
    by_id = {each.key_id: each for each in wanted}
    try:
        keys = {
            item["id"]: GatewayKey(bool(item["enabled"]), item.get("description") or "")
            for item in _items(client, "get_api_keys", includeValues=False)
            if item["id"] in by_id
        }
        for usage_plan in _items(client, "get_usage_plans"):
            quota = usage_plan.get("quota") or {}
            if "period" not in quota:
                continue
            for item in _items(client, "get_usage_plan_keys", usagePlanId=usage_plan["id"]):
                key = keys.get(item["id"])
                if key is not None and needs_usage(by_id[item["id"]], key, quota["period"]):
                    left = _left(client, usage_plan["id"], item["id"], int(quota["limit"]), now)
                    keys[item["id"]] = key._replace(
                        usages=[*key.usages, KeyUsage(usage_plan["id"], quota["period"], left)]
                    )
    except ClientError as exc:
        raise AwsRefused(f"AWS refused {exc.operation_name}: {_code(exc)}") from exc
    except BotoCoreError as exc:
        raise AwsRefused(f"AWS cannot be asked: {type(exc).__name__}") from exc
    return keys


def apply(client: ApiGateway, calls: Sequence[Call]) -> Iterator[Made]:
    """Make the calls one by one. One that AWS refuses stops none of the others."""
    for call in calls:
        try:
            getattr(client, call.operation)(**call.arguments)
        except ClientError as exc:
            yield Made(call, _code(exc))
        except BotoCoreError as exc:
            yield Made(call, type(exc).__name__)
        else:
            yield Made(call, None)


def _items(client: ApiGateway, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get("items", [])


def _left(client: ApiGateway, usage_plan_id: str, key_id: str, limit: int, now: datetime) -> int:
    """The requests that AWS has left of a quota. A key without a request yet has all."""
    today = f"{now:%Y-%m-%d}"
    asked = {"usagePlanId": usage_plan_id, "keyId": key_id, "startDate": today, "endDate": today}
    days = client.get_usage(**asked).get("items", {}).get(key_id) or []
    return int(days[-1][1]) if days else limit


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", "Unknown"))
