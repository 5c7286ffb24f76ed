"""The messages of the quota worker: alerts as CloudEvents 1.0 in JSON (structured mode), and the state of each quota.

Numbers are text, as in `usage.totals`, so that every reader gets exact values. Times are event times, never clock
times.
"""

import json
from typing import Any

from aggregate.quota.rule import Alert, AlertRule
from aggregate.quota.sums import Standing
from schemas.money import plain
from schemas.quotas import is_reached

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/tollbook/quota"
TYPES = {"quota": "tollbook.quota.threshold", "withdrawn": "tollbook.quota.withdrawn"}


def cloud_event(alert: Alert, at: Standing) -> bytes:
    """An alert as a CloudEvent with the id of the alert, so that receivers can detect duplicates."""
    event = {
        "specversion": "1.0",
        "id": alert.alert_id,
        "source": SOURCE,
        "type": TYPES[alert.kind],
        "subject": alert.rule.partner_id,
        "time": at.seen_until.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            **_quota(alert.rule, at),
            "threshold_percent": plain(alert.threshold_percent),
            "passed": alert.passed,
            "projected_exhaustion_at": alert.projected_exhaustion_at and alert.projected_exhaustion_at.isoformat(),
            "events_version": at.events_version,
            **({"withdraws": alert.withdraws} if alert.kind == "withdrawn" else {}),
        },
    }
    return json.dumps(event).encode()


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
