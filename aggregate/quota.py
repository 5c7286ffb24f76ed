"""The alert rule: pure functions on totals, exact decimals. A quota is reached when used >= its share.

Key of an alert: partner, meter, quota period, threshold, plan. Each fires exactly once; thresholds passed in one step all
fire, the lower ones marked. A correction downward withdraws and deletes nothing.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import ROUND_UP, Decimal, localcontext
from typing import Literal, NamedTuple

from schemas.money import EXACT


class Rule(NamedTuple):
    """One quota of one partner in one quota period, [start, end). `limit` is in the meter's unit."""

    partner_id: str
    meter: str
    plan: str
    kind: str  # DAY | WEEK | MONTH
    start: datetime
    end: datetime
    limit: Decimal
    thresholds: tuple[Decimal, ...]  # percent, ascending


class Alert(NamedTuple):
    """One alert as table `alerts` holds it, but for the commit it rests on."""

    alert_id: str
    kind: Literal["quota", "withdrawn"]
    rule: Rule
    threshold_percent: Decimal
    used: Decimal
    passed: bool
    projected_exhaustion_at: datetime | None


class Fired(NamedTuple):
    """What the ledger holds of a rule: thresholds that fired, and those withdrawn since."""

    thresholds: Collection[Decimal] = ()
    withdrawn: Collection[Decimal] = ()


def due(rule: Rule, used: Decimal, fired: Fired, *, seen_until: datetime) -> list[Alert]:
    """The alerts that `used` calls for and the ledger does not hold yet; thresholds ascending.

    `seen_until` is the end of the newest window with usage: the projection goes on from there at the average so far.
    """
    reached = [t for t in rule.thresholds if used >= level(rule, t)]
    alerts = [
        Alert(alert_id(rule, t, "quota"), "quota", rule, t, used, t != reached[-1], projection(rule, used, seen_until))
        for t in reached
        if t not in fired.thresholds
    ]
    taken_back = [t for t in fired.thresholds if t not in reached and t not in fired.withdrawn]
    alerts += [
        Alert(alert_id(rule, t, "withdrawn"), "withdrawn", rule, t, used, passed=False, projected_exhaustion_at=None)
        for t in sorted(taken_back)
    ]
    return alerts


def level(rule: Rule, threshold_percent: Decimal) -> Decimal:
    """The usage at which a threshold is reached, in the meter's unit."""
    return EXACT.multiply(rule.limit, threshold_percent.scaleb(-2))


def projection(rule: Rule, used: Decimal, seen_until: datetime) -> datetime | None:
    """When the quota will be used up at the average rate so far; None if it is, or will not be before the period ends."""
    elapsed = seen_until - rule.start
    if used >= rule.limit or used <= 0 or elapsed.total_seconds() <= 0:
        return None
    with localcontext(prec=50, rounding=ROUND_UP):
        share = (rule.limit / used * 1_000_000).to_integral_value()
    at = rule.start + elapsed * int(share) // 1_000_000
    return at if at < rule.end else None


def alert_id(rule: Rule, threshold_percent: Decimal, kind: str) -> str:
    """The same alert always has the same id."""
    parts: Sequence[str] = (
        rule.partner_id,
        rule.meter,
        rule.plan,
        rule.kind,
        rule.start.isoformat(),
        str(threshold_percent.normalize()),
        kind,
    )
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]
