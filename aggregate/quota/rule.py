"""The alert rule: pure functions on totals with exact decimals.

A threshold is reached when used >= its share of the limit.

The key of an alert is partner, meter, quota period and its start, plan, threshold, limit, and when that limit took
effect. Each alert fires exactly once. If usage crosses several thresholds in one step, all fire, and the lower ones are
marked. An alert that no longer holds, after a downward correction or a raised limit, is withdrawn once and never
deleted.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal, localcontext
from typing import Literal, NamedTuple

from schemas.money import plain
from schemas.quotas import ALWAYS, is_reached

_US = timedelta(microseconds=1)


class AlertRule(NamedTuple):
    """One quota of one partner in one quota period, [start, end). `limit` is in the meter's unit."""

    partner_id: str
    meter: str
    plan: str
    kind: str  # DAY | WEEK | MONTH
    start: datetime
    end: datetime
    limit: Decimal
    thresholds: tuple[Decimal, ...]  # percent, ascending
    limit_since: datetime | None  # None: written by a version that did not record it
    held: tuple[
        tuple[datetime, datetime], ...
    ]  # when the partner has the plan in the period: [from, to), in order, apart


class Mark(NamedTuple):
    """What distinguishes the alerts of one quota and period. `limit_since` is None if an earlier version wrote it."""

    threshold_percent: Decimal
    limit: Decimal | None  # None: that version did not say either; it is the first limit that is known
    limit_since: datetime | None


class ThresholdAlert(NamedTuple):
    """One alert, as in table `alerts` but without the commit that it is based on."""

    alert_id: str
    kind: Literal["quota", "withdrawn"]
    rule: AlertRule
    threshold_percent: Decimal
    used: Decimal
    passed: bool
    projected_exhaustion_at: datetime | None
    mark: Mark  # its own, or for a withdrawal that of the withdrawn alert

    @property
    def withdraws(self) -> str | None:
        """The id of the alert that a withdrawal cancels."""
        return alert_id(self.rule, self.mark, "quota") if self.kind == "withdrawn" else None


class Fired(NamedTuple):
    """The ledger's entries for a quota and period under all limits: fired alerts and withdrawn ones."""

    alerts: Collection[Mark] = ()
    withdrawn: Collection[Mark] = ()


def due(rule: AlertRule, used: Decimal, fired: Fired, *, seen_until: datetime) -> list[ThresholdAlert]:
    """The alerts and withdrawals that are due for `used` and not in the ledger yet, by ascending threshold.

    `seen_until` is the end of the newest window with usage. The projection starts there, at the average rate so far.
    """
    reached = [t for t in rule.thresholds if is_reached(used, rule.limit, t)]
    known = {mark.threshold_percent for mark in fired.alerts if _is_under(rule, mark)}
    marks = {t: Mark(t, rule.limit, rule.limit_since) for t in reached if t not in known}
    exhausted = projection(rule, used, seen_until) if marks else None
    alerts = [
        ThresholdAlert(alert_id(rule, mark, "quota"), "quota", rule, t, used, t != reached[-1], exhausted, mark)
        for t, mark in marks.items()
    ]
    over = [
        m for m in fired.alerts if m not in fired.withdrawn and not is_reached(used, rule.limit, m.threshold_percent)
    ]
    return alerts + [
        ThresholdAlert(
            alert_id(rule, m, "withdrawn"),
            "withdrawn",
            rule,
            m.threshold_percent,
            used,
            passed=False,
            projected_exhaustion_at=None,
            mark=m,
        )
        for m in sorted(over, key=order)
    ]


def order(mark: Mark) -> tuple[Decimal, bool, datetime, Decimal]:
    """The sort key of marks: ascending thresholds, each from the first limit to the newest."""
    limit = Decimal(0) if mark.limit is None else mark.limit
    return mark.threshold_percent, mark.limit_since is not None, mark.limit_since or ALWAYS, limit


def _is_under(rule: AlertRule, mark: Mark) -> bool:
    """Whether an alert fired under the current limit, since it took effect."""
    if mark.limit_since is None:
        return mark.limit in {None, rule.limit} and rule.limit_since in {None, ALWAYS}
    return (mark.limit, mark.limit_since) == (rule.limit, rule.limit_since)


def projection(rule: AlertRule, used: Decimal, seen_until: datetime) -> datetime | None:
    """When the quota will be used up at the average rate so far.

    None if it already is, or not before period or plan end.

    Only time in which the partner has the plan counts, in the past and in the future.
    """
    elapsed = time_held(rule, seen_until)
    if used >= rule.limit or used <= 0 or not elapsed:
        return None
    with localcontext(prec=50, rounding=ROUND_UP):
        share = (rule.limit / used * 1_000_000).to_integral_value()
    left_us = elapsed // _US * int(share) // 1_000_000  # as a number: it may be longer than there will be time
    for start, end in rule.held:
        if left_us < (end - start) // _US:
            return start + left_us * _US
        left_us -= (end - start) // _US
    return None


def time_held(rule: AlertRule, until: datetime) -> timedelta:
    """How long the partner had the plan in the period, up to an instant."""
    return sum((min(end, until) - start for start, end in rule.held if start < until), timedelta())


def alert_id(rule: AlertRule, mark: Mark, kind: str) -> str:
    """The id of an alert, which is always the same. Alerts of earlier versions keep their ids."""
    limit = () if mark.limit_since is None else (plain(mark.limit or Decimal(0)), mark.limit_since.isoformat())
    parts: Sequence[str] = (
        rule.partner_id,
        rule.meter,
        rule.plan,
        rule.kind,
        rule.start.isoformat(),
        str(mark.threshold_percent.normalize()),
        *limit,
        kind,
    )
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]
