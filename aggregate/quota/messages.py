"""The message of the quota worker: the state of each quota.

Numbers are text, as in `usage.totals`, so that every reader gets exact values. Times are event times, never clock
times.
"""

import json
from typing import Any

from aggregate.quota.rule import AlertRule
from aggregate.quota.sums import Standing
from schemas.money import plain
from schemas.quotas import is_reached


def state(rule: AlertRule, at: Standing) -> bytes:
    """The state of a quota, for gateways that block exceeded quotas.

    `as_of` is the end of the newest window with usage.
    """
    return json.dumps(
        {**_quota(rule, at), "over": is_reached(at.used, rule.limit), "as_of": at.seen_until.isoformat()}
    ).encode()


def _quota(rule: AlertRule, at: Standing) -> dict[str, Any]:
    return {
        "partner": rule.partner_id,
        "meter": rule.meter,
        "unit": at.total.unit,
        "plan": rule.plan,
        "period": {"kind": rule.kind, "start": rule.start.isoformat(), "end": rule.end.isoformat()},
        "used": plain(at.used),
        "limit": plain(rule.limit),
        "limit_since": rule.limit_since and rule.limit_since.isoformat(),
    }
