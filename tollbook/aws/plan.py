"""The plan of calls: from decisions and what AWS has, to what must change there. Pure.

Calls are made only about keys that the catalog has. A key that Tollbook disabled says so in its description, in the
call that disables it, and only such a key is enabled again.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

_MARK = re.compile(r" ?\[disabled by Tollbook: [^\[\]]*\]\Z")


class WantedKey(NamedTuple):
    """What a decision says about a key. `remaining` has the requests that are left, by period (DAY, WEEK, MONTH)."""

    key_id: str
    partner_id: str
    reason: str | None  # None: allowed
    until: datetime | None = None  # when a denial ends by itself
    is_stale: bool = False  # the usage is too old to act on
    remaining: Mapping[str, int] = MappingProxyType({})


class KeyUsage(NamedTuple):
    """A usage plan of a key with a quota, and the requests that AWS has left of it."""

    usage_plan_id: str
    period: str
    remaining: int


class GatewayKey(NamedTuple):
    """A key as AWS has it, without its value."""

    enabled: bool
    description: str
    usages: Sequence[KeyUsage] = ()


class Call(NamedTuple):
    """A call of AWS API Gateway, with the reason for it."""

    operation: str
    key_id: str
    partner_id: str
    arguments: Mapping[str, Any]
    why: str


class Skipped(NamedTuple):
    """A key that is left as it is, although the decision is another, with the reason."""

    key_id: str
    partner_id: str
    why: str


class CallPlan(NamedTuple):
    """All calls, in order of the keys, and all keys that are left."""

    calls: Sequence[Call]
    skipped: Sequence[Skipped]


def plan(wanted: Sequence[WantedKey], keys: Mapping[str, GatewayKey]) -> CallPlan:
    """What to call. After all calls, the plan for the same decisions is empty."""
    found = [step for each in sorted(wanted, key=_by_id) for step in _steps(each, keys.get(each.key_id))]
    return CallPlan([s for s in found if isinstance(s, Call)], [s for s in found if isinstance(s, Skipped)])


def needs_usage(wanted: WantedKey, key: GatewayKey, period: str) -> bool:
    """Whether the plan of calls depends on what AWS has left of a quota."""
    return wanted.reason is None and not wanted.is_stale and period in wanted.remaining and _will_be_on(key)


def _by_id(wanted: WantedKey) -> str:
    return wanted.key_id


def _steps(wanted: WantedKey, key: GatewayKey | None) -> Iterator[Call | Skipped]:
    is_ours = key is not None and _MARK.search(key.description) is not None
    if key is None:
        yield _skipped(wanted, "AWS has no such key in this region")
    elif wanted.is_stale and wanted.reason != "SUSPENDED":
        yield _skipped(wanted, "its usage is older than the plan allows, and nothing is changed on old usage")
    elif wanted.reason is not None:
        if key.enabled:
            yield _disabled(wanted, key)
    elif not key.enabled and not is_ours:
        yield _skipped(wanted, "allowed, but somebody else has disabled it")
    else:
        if is_ours:
            yield _enabled(wanted, key)
        yield from _remaining(wanted, key)


def _disabled(wanted: WantedKey, key: GatewayKey) -> Call:
    until = "" if wanted.until is None else f" until {wanted.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    mark = f"[disabled by Tollbook: {wanted.reason}{until}]"
    described = f"{_unmarked(key.description)} {mark}".lstrip()
    return _key_call(wanted, described, f"{wanted.reason}{until}", enabled=False)


def _enabled(wanted: WantedKey, key: GatewayKey) -> Call:
    why = "allowed again" if not key.enabled else "allowed; its description says that it is disabled"
    return _key_call(wanted, _unmarked(key.description), why, enabled=True)


def _key_call(wanted: WantedKey, description: str, why: str, *, enabled: bool) -> Call:
    """Both changes are one call, so that none is ever made without the other."""
    changes = [("/enabled", str(enabled).lower()), ("/description", description)]
    operations = [{"op": "replace", "path": path, "value": value} for path, value in changes]
    arguments = {"apiKey": wanted.key_id, "patchOperations": operations}
    return Call("update_api_key", wanted.key_id, wanted.partner_id, arguments, why)


def _remaining(wanted: WantedKey, key: GatewayKey) -> Iterator[Call]:
    for usage in key.usages:
        left = wanted.remaining.get(usage.period)
        if left is not None and left != usage.remaining:
            operation = {"op": "replace", "path": "/remaining", "value": str(left)}
            arguments = {
                "usagePlanId": usage.usage_plan_id,
                "keyId": wanted.key_id,
                "patchOperations": [operation],
            }
            why = f"{left:,} requests of the {usage.period} are left, AWS has {usage.remaining:,}"
            yield Call("update_usage", wanted.key_id, wanted.partner_id, arguments, why)


def _will_be_on(key: GatewayKey) -> bool:
    return key.enabled or _MARK.search(key.description) is not None


def _unmarked(description: str) -> str:
    return _MARK.sub("", description)


def _skipped(wanted: WantedKey, why: str) -> Skipped:
    return Skipped(wanted.key_id, wanted.partner_id, why)
