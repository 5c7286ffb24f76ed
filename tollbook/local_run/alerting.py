"""Quota alerts of the local run: usage comes from the SQL of invoices, the rule from `aggregate.quota.rule`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from aggregate.quota import alerts, limits
from aggregate.quota.rule import Alert, AlertRule, Fired, due
from billing.periods import Period, quota_period
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.quota_statement import PartnerQuota
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import EXACT
from schemas.quotas import level
from schemas.windows import WINDOW_US

_WINDOW = timedelta(microseconds=WINDOW_US)


class Raised(NamedTuple):
    """An alert that fired now, with the event time of the crossing, and the commit that it is based on."""

    alert: Alert
    crossed_at: datetime | None  # None: the alert is a withdrawal
    events_version: int


class _WindowUsage(NamedTuple):
    start: datetime
    quantity: Decimal  # in the field's own unit


class _QuotaUsage(NamedTuple):
    """The usage of a quota in one of its periods. `used` is in the meter's unit."""

    used: Decimal
    seen_until: datetime


def alert(lake: Lake, catalog: Catalog, *, now: datetime) -> list[Raised]:
    """Fire the alerts that are due at the newest state of the lake, each once, and return them.

    Late usage fires alerts in its own period. A limit that is new to the lake takes effect at `now`.
    """
    since = limits.since(lake, catalog, now=now)
    house = Warehouse(lake, only=["events", "rollups"])
    version = house.versions["events"]
    ledger = alerts.ledger(lake)
    new = [
        alert
        for rule, standing in _standings(house, catalog, since, ledger.fired).items()
        for alert in due(
            rule, standing.used, ledger.fired.get(alerts.key_of(rule), Fired()), seen_until=standing.seen_until
        )
    ]
    crossed = _crossings(house, catalog, [a for a in new if a.kind == "quota"])
    alerts.record(lake, ledger.table, new, crossed, events_version=version)
    return [Raised(a, crossed.get(a.alert_id), version) for a in new]


def rule_of(promise: PartnerQuota, period: Period, limit_since: datetime) -> AlertRule:
    """The alert rule of a quota in a period."""
    quota = promise.quota
    return AlertRule(
        promise.partner.id, quota.meter, promise.plan, quota.period, *period, quota.limit, quota.thresholds, limit_since,
        promise.held_in(period),
    )  # fmt: skip


def _standings(
    house: Warehouse,
    catalog: Catalog,
    since: Mapping[limits.Key, datetime],
    fired: Mapping[alerts.Key, Fired],
) -> dict[AlertRule, _QuotaUsage]:
    """All quotas and periods with usage, and those without usage for which an alert has fired."""
    promised = quota_statement.partner_quotas(catalog, catalog.partners)
    counted: dict[tuple[int, Period], _QuotaUsage] = {}
    for row in quota_statement.quota_usage(house, catalog, promised):
        known = counted.get((row.partner_quota, row.period), _QuotaUsage(Decimal(0), row.seen_until))
        counted[row.partner_quota, row.period] = _QuotaUsage(
            EXACT.add(known.used, row.quantity), max(known.seen_until, row.seen_until)
        )
    places: dict[tuple[str, str, str, str], int] = {
        (p.partner.id, p.quota.meter, p.plan, p.quota.period): i for i, p in enumerate(promised)
    }
    for partner_id, meter, plan, kind, start in fired:
        place = places.get((partner_id, meter, plan, kind))
        if place is not None:
            period = quota_period(kind, start, promised[place].partner.time_zone)
            if period.start == start and promised[place].held_in(period):
                counted.setdefault((place, period), _QuotaUsage(Decimal(0), start))
    found = {}
    for (place, period), standing in sorted(counted.items()):
        promise = promised[place]
        quota = promise.quota
        rule = rule_of(promise, period, since[promise.plan, quota.meter, quota.period])
        found[rule] = standing._replace(used=in_unit(catalog, quota.meter, standing.used))
    return found


def _crossings(house: Warehouse, catalog: Catalog, new: Sequence[Alert]) -> dict[str, datetime]:
    """Alert id → time of the event at which usage reached the threshold, with events in time order."""
    rules = list(dict.fromkeys(a.rule for a in new))
    spans = [(rule, Span(rule.partner_id, rule.meter, *held)) for rule in rules for held in rule.held]
    windows: dict[AlertRule, list[_WindowUsage]] = {rule: [] for rule in rules}
    if spans:
        for row in house.usage_by_window(catalog, [span for _, span in spans]).to_pylist():  # each span in time order
            windows[spans[row["span"]][0]].append(_WindowUsage(row["window_start"], row["quantity"]))
    found = {a.alert_id: _crossing(house, catalog, a, windows[a.rule]) for a in new}
    return {alert_id: at for alert_id, at in found.items() if at is not None}


def _crossing(house: Warehouse, catalog: Catalog, new: Alert, windows: Sequence[_WindowUsage]) -> datetime | None:
    rule = new.rule
    missing = EXACT.multiply(level(rule.limit, new.threshold_percent), catalog.meter(rule.meter).divide_by)
    for window in windows:
        if window.quantity >= missing:
            span = Span(rule.partner_id, rule.meter, window.start, window.start + _WINDOW)
            return house.crossing(catalog, span, missing)
        missing = EXACT.subtract(missing, window.quantity)
    return None
