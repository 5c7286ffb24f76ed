"""Statements about alerts as CloudEvents 1.0 in JSON (structured mode): what every sink sends.

Quantities and money are text, so that every reader gets exact values. Times are event times, never clock times.
"""

import json
from datetime import datetime
from typing import Any

from schemas.alerts import Kind, State, Statement
from schemas.zones import utc_text

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/tollbook/alerts"
QUOTA_SOURCE = "/tollbook/quota"
# Types that existed before there were other kinds. All others are tollbook.KIND.STATE.
QUOTA_TYPES = {
    State.FIRED: "tollbook.quota.threshold",
    State.RESTATED: "tollbook.quota.restated",
    State.TIMED: "tollbook.quota.timed",
    State.WITHDRAWN: "tollbook.quota.withdrawn",
}


def cloud_event(statement: Statement) -> bytes:
    """A statement as a CloudEvent with its id, so that receivers can detect duplicates."""
    return json.dumps(event(statement), ensure_ascii=False).encode()


def event(statement: Statement) -> dict[str, Any]:
    """The CloudEvent of a statement (schemas/alert.schema.json, docs/alerts.md)."""
    alert = statement.alert
    is_quota = alert.kind is Kind.QUOTA
    time = alert.evidence.get("seen_until") or _text(alert.at)
    return {
        "specversion": "1.0",
        "id": statement.statement_id,
        "source": QUOTA_SOURCE if is_quota else SOURCE,
        "type": type_of(alert.kind, statement.state),
        "subject": alert.subject,
        **({"time": time} if time else {}),
        "datacontenttype": "application/json",
        "data": {
            "alert_id": statement.alert_id,
            "number": statement.number,
            "kind": alert.kind.value,
            "state": statement.state.value,
            "subject": alert.subject,
            "partner": alert.partner_id,
            "key": dict(alert.key),
            "at": _text(alert.at),
            "ends_at": _text(alert.ends_at),
            "evidence": dict(alert.evidence),
            "events_version": statement.events_version,
            **(_quota(statement) if is_quota else {}),
            **({"withdraws": statement.alert_id} if statement.state is State.WITHDRAWN else {}),
            **({"restates": statement.alert_id} if statement.state in {State.RESTATED, State.TIMED} else {}),
        },
    }


def type_of(kind: Kind, state: State) -> str:
    """The type of the CloudEvent."""
    return QUOTA_TYPES[state] if kind is Kind.QUOTA else f"tollbook.{kind}.{state}"


def _quota(statement: Statement) -> dict[str, Any]:
    """The fields of alerts on quotas, which are beside the evidence as before there were other kinds."""
    key, evidence, ends_at = statement.alert.key, statement.alert.evidence, statement.alert.ends_at
    return {
        "meter": key["meter"],
        "unit": evidence.get("unit"),
        "plan": key["plan"],
        "period": {"kind": key["quota_period"], "start": key["period_start"], "end": _text(ends_at)},
        "used": evidence["used"],
        "limit": evidence["limit"],
        "limit_since": evidence["limit_since"],
        "threshold_percent": key["threshold_percent"],
        "passed": evidence["passed"],
        "projected_exhaustion_at": evidence["projected_exhaustion_at"],
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else utc_text(instant)
