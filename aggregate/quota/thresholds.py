"""The detector of quota thresholds: from the usage of a quota in a period to the alerts that hold.

Pure, and the same in both deployments. An alert holds under the limit under which it fired, and usage at or above its
threshold of the present limit keeps it, whatever limit that is.
"""

from collections.abc import Container, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from aggregate.quota.rule import AlertRule, projection
from schemas.alerts import Alert, Kind, Statement, alert_id
from schemas.money import plain
from schemas.quotas import ALWAYS, is_reached, level
from schemas.zones import utc_text

Place = tuple[str, str, str, str, str]  # partner, meter, plan, DAY | WEEK | MONTH, start of the period


def holding(
    rule: AlertRule, used: Decimal, *, unit: str, seen_until: datetime, known: Mapping[str, Statement]
) -> list[Alert]:
    """The alerts that hold for `used`: those of the rule's limit by ascending threshold, then earlier ones it keeps.

    `known` is the ledger of this quota and period. Alerts of the rule's limit have no time yet; the others have that of
    their statement. An alert that a version without `limit_since` fired under this limit keeps its key. `seen_until` is
    the end of the newest window with usage; the projection starts there.
    """
    reached = [t for t in rule.thresholds if is_reached(used, rule.limit, t)]
    exhausted = projection(rule, used, seen_until) if reached else None
    alerts = [
        Alert(
            Kind.QUOTA, rule.partner_id, key_of(rule, t, known), None,
            {
                **evidence(rule, used, unit=unit, passed=t != reached[-1], exhausted_at=exhausted),
                "seen_until": utc_text(seen_until),
            },
            rule.partner_id, rule.end,
        )
        for t in reached
    ]  # fmt: skip
    present = {alert.alert_id for alert in alerts}
    earlier = (s for alert_id, s in known.items() if s.holds and alert_id not in present)
    now = {"used": plain(used), "seen_until": utc_text(seen_until)}
    return alerts + [
        s.alert._replace(evidence={**s.alert.evidence, **now}) for s in earlier if is_kept(rule, used, s.alert)
    ]


def level_of(rule: AlertRule, alert: Alert) -> Decimal:
    """The usage at which an alert crosses: its threshold of the limit under which it fired, in the meter's unit."""
    limit = alert.key.get("limit") or alert.evidence["limit"]
    return level(rule.limit if limit is None else Decimal(limit), Decimal(alert.key["threshold_percent"]))


def refuted(rule: AlertRule, used: Decimal, *, unit: str) -> dict[str, Any]:
    """The evidence that a threshold is not reached."""
    return evidence(rule, used, unit=unit, passed=False, exhausted_at=None)


def is_kept(rule: AlertRule, used: Decimal, alert: Alert) -> bool:
    """Whether usage keeps an alert, whatever the limit under which it fired."""
    return is_reached(used, rule.limit, Decimal(alert.key["threshold_percent"]))


def place_of(alert: Alert) -> Place:
    """The quota and period that an alert is about."""
    key = alert.key
    return alert.subject, key["meter"], key["plan"], key["quota_period"], key["period_start"]


def place_of_rule(rule: AlertRule) -> Place:
    """The place of the alerts of a rule."""
    return rule.partner_id, rule.meter, rule.plan, rule.kind, utc_text(rule.start)


def key_of(rule: AlertRule, threshold: Decimal, known: Container[str]) -> dict[str, str]:
    """The key of the alert of a threshold."""
    key = {
        "meter": rule.meter,
        "plan": rule.plan,
        "quota_period": rule.kind,
        "period_start": utc_text(rule.start),
        "threshold_percent": plain(threshold),
    }
    if rule.limit_since in {None, ALWAYS} and (
        rule.limit_since is None or alert_id(Kind.QUOTA, rule.partner_id, key) in known
    ):
        return key
    assert rule.limit_since is not None
    return {**key, "limit": plain(rule.limit), "limit_since": utc_text(rule.limit_since)}


def evidence(
    rule: AlertRule, used: Decimal, *, unit: str, passed: bool, exhausted_at: datetime | None
) -> dict[str, Any]:
    """The figures of a statement about a quota."""
    return {
        "unit": unit,
        "used": plain(used),
        "limit": plain(rule.limit),
        "limit_since": rule.limit_since and utc_text(rule.limit_since),
        "passed": passed,
        "projected_exhaustion_at": exhausted_at and utc_text(exhausted_at),
    }
