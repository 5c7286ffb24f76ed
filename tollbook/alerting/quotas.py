"""Alerts on thresholds of quotas: usage comes from the SQL of invoices, the rule from `aggregate.quota.rule`.

An alert holds under the limit under which it fired. Usage at or above its threshold of the present limit keeps it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from aggregate.quota import thresholds
from aggregate.quota.rule import AlertRule
from billing.periods import Period, quota_period
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.quota_statement import PartnerQuota
from billing.usage.warehouse import Span, Warehouse
from schemas.alerts import Alert, Kind, Statement
from schemas.catalog.records import Catalog
from schemas.money import EXACT
from schemas.windows import WINDOW_US
from tollbook.alerting.scene import Detector, Scene

_WINDOW = timedelta(microseconds=WINDOW_US)


class QuotaUsage(NamedTuple):
    """The usage of a quota in one of its periods. `used` is in the meter's unit."""

    used: Decimal
    seen_until: datetime


class _WindowUsage(NamedTuple):
    start: datetime
    quantity: Decimal  # in the field's own unit


def evaluate(scene: Scene) -> list[Alert]:
    """The alerts that hold, by quota."""
    known: dict[thresholds.Place, dict[str, Statement]] = {}
    for alert_id, statement in scene.statements.items():
        known.setdefault(thresholds.place_of(statement.alert), {})[alert_id] = statement
    found: list[tuple[AlertRule, Alert]] = []
    for rule, usage in standings(scene).items():
        unit = scene.catalog.meter(rule.meter).unit
        mine = known.get(thresholds.place_of_rule(rule), {})
        alerts = thresholds.holding(rule, usage.used, unit=unit, seen_until=usage.seen_until, known=mine)
        found += [(rule, alert) for alert in alerts]
    at = _times(scene, found)
    return [alert._replace(at=at.get(alert.alert_id, alert.at)) for _, alert in found]


def covers(scene: Scene, alert: Alert) -> bool:
    """Whether the partner has the quota in the period, and its usage does not keep the alert."""
    found = present(scene, alert)
    return found is not None and not thresholds.is_kept(*found, alert)


def refuted_by(scene: Scene, alert: Alert) -> Mapping[str, Any]:
    """The usage and limit by which the alert does not hold."""
    found = present(scene, alert)
    assert found is not None, "only alerts that are covered are withdrawn"
    rule, used = found
    return thresholds.refuted(rule, used, unit=scene.catalog.meter(rule.meter).unit)


def standings(scene: Scene) -> dict[AlertRule, QuotaUsage]:
    """All quotas and periods with usage, in order."""
    return scene.once("standings of quotas", lambda: _standings(scene))


def promises(scene: Scene) -> list[PartnerQuota]:
    """All quotas of all partners."""
    catalog = scene.catalog
    return scene.once("promised quotas", lambda: quota_statement.partner_quotas(catalog, catalog.partners))


def _standings(scene: Scene) -> dict[AlertRule, QuotaUsage]:
    house, catalog = scene.house, scene.catalog
    promised = promises(scene)
    counted: dict[tuple[int, Period], QuotaUsage] = {}
    for row in quota_statement.quota_usage(house, catalog, promised):
        known = counted.get((row.partner_quota, row.period), QuotaUsage(Decimal(0), row.seen_until))
        counted[row.partner_quota, row.period] = QuotaUsage(
            EXACT.add(known.used, row.quantity), max(known.seen_until, row.seen_until)
        )
    found = {}
    for (place, period), usage in sorted(counted.items()):
        promise = promised[place]
        used = in_unit(catalog, promise.quota.meter, usage.used)
        found[rule_of(scene, promise, period)] = usage._replace(used=used)
    return found


def rule_of(scene: Scene, promise: PartnerQuota, period: Period) -> AlertRule:
    """The alert rule of a quota in a period, with the limit that holds with its grants."""
    quota = promise.quota
    since = scene.limits_since[promise.plan, quota.meter, quota.period]
    held = promise.limit_in(period, scene.grants, since=since, now=scene.now)
    return AlertRule(
        promise.partner.id, quota.meter, promise.plan, quota.period, *period, held.limit, quota.thresholds, held.since,
        promise.held_in(period),
    )  # fmt: skip


def present(scene: Scene, alert: Alert) -> tuple[AlertRule, Decimal] | None:
    """The present rule and usage of the quota that an alert is about. None: the partner has no such quota."""
    usage = scene.once(
        "usage by place",
        lambda: {thresholds.place_of_rule(rule): (rule, u.used) for rule, u in standings(scene).items()},
    )
    place = thresholds.place_of(alert)
    if place in usage:
        return usage[place]
    promised = scene.once(
        "promises by place",
        lambda: {(p.partner.id, p.quota.meter, p.plan, str(p.quota.period)): p for p in promises(scene)},
    )
    partner_id, meter, plan, kind, _ = place
    promise = promised.get((partner_id, meter, plan, kind))
    if promise is None:
        return None
    start = datetime.fromisoformat(alert.key["period_start"])
    period = quota_period(promise.quota.period, start, promise.partner.time_zone)
    if period.start != start or not promise.held_in(period):
        return None
    return rule_of(scene, promise, period), Decimal(0)


def _times(scene: Scene, found: Sequence[tuple[AlertRule, Alert]]) -> dict[str, datetime]:
    """Alert id → time of the event at which usage reached the threshold, with events in time order.

    A time that is on record stands, unless usage up to it may have changed.
    """
    at: dict[str, datetime] = {}
    missing = []
    for rule, alert in found:
        if (stated := scene.time_on_record(alert)) is not None:
            at[alert.alert_id] = stated
        else:
            missing.append((rule, alert))
    return at | _crossings(scene.house, scene.catalog, missing)


def _crossings(house: Warehouse, catalog: Catalog, missing: Sequence[tuple[AlertRule, Alert]]) -> dict[str, datetime]:
    """Alert id → time of the event at which usage reached the threshold; none if the lake has less usage."""
    rules = list(dict.fromkeys(rule for rule, _ in missing))
    spans = [(rule, Span(rule.partner_id, rule.meter, *held)) for rule in rules for held in rule.held]
    windows: dict[AlertRule, list[_WindowUsage]] = {rule: [] for rule in rules}
    if spans:
        rows = house.usage_by_window(catalog, [span for _, span in spans])
        for row in rows.to_pylist():  # each span in time order
            windows[spans[row["span"]][0]].append(_WindowUsage(row["window_start"], row["quantity"]))
    wanted: list[tuple[str, Span, Decimal]] = []
    for rule, alert in missing:
        reached = EXACT.multiply(thresholds.level_of(rule, alert), catalog.meter(rule.meter).divide_by)
        if (window := _crossed(windows[rule], reached)) is not None:
            start, rest = window
            wanted.append((alert.alert_id, Span(rule.partner_id, rule.meter, start, start + _WINDOW), rest))
    found = house.crossings(catalog, [(span, rest) for _, span, rest in wanted])
    return {alert_id: at.astimezone(UTC) for (alert_id, _, _), at in zip(wanted, found, strict=True) if at is not None}


def _crossed(windows: Sequence[_WindowUsage], missing: Decimal) -> tuple[datetime, Decimal] | None:
    """The window within which usage reaches `missing`, in the unit of the meter's field, and what it lacks before."""
    for window in windows:
        if window.quantity >= missing:
            return window.start, missing
        missing = EXACT.subtract(missing, window.quantity)
    return None


DETECTOR = Detector(
    kind=Kind.QUOTA, evaluate=evaluate, covers=covers, material=lambda alert: alert.at, refuted_by=refuted_by
)
