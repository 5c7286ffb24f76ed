"""Quota alerts of the embedded run: usage by the same SQL as the invoice, the rule by `aggregate.quota`."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from aggregate import alerts
from aggregate.quota import Alert, Fired, Rule, due, level
from billing.periods import quota_period
from billing.rating import in_unit
from billing.warehouse import Span, Warehouse
from schemas.catalog import Catalog, Partner, PlanAssignment
from schemas.money import EXACT
from schemas.windows import WINDOW_US, from_us

_WINDOW = timedelta(microseconds=WINDOW_US)
_EVER_US = 4_102_444_800_000_000  # 2100: no event lies beyond it (schemas.reasons: TIME_RANGE)


class Raised(NamedTuple):
    """An alert that fired now: with the event time at which usage crossed the threshold, and the commit it rests on."""

    alert: Alert
    crossed_at: datetime | None  # None: withdrawn
    events_version: int


class _Window(NamedTuple):
    start: datetime
    quantity: Decimal  # in the field's own unit


def alert(root: Path, catalog: Catalog) -> list[Raised]:
    """Fire what is due at the newest state of the lake, once; the alerts that fired now. Late usage alerts in its own period."""
    house = Warehouse(root, only=["events", "rollups"])
    version = house.versions["events"]
    ledger = alerts.fired(root)
    raised = []
    for rule, windows in _used(house, catalog):
        used = in_unit(catalog, rule.meter, sum((w.quantity for w in windows), Decimal(0)))
        for new in due(rule, used, ledger.get(alerts.key_of(rule), Fired()), seen_until=windows[-1].start + _WINDOW):
            crossed_at = _crossing(house, catalog, new, windows) if new.kind == "quota" else None
            raised.append(Raised(new, crossed_at, version))
    crossed = {r.alert.alert_id: r.crossed_at for r in raised if r.crossed_at is not None}
    alerts.record(root, [r.alert for r in raised], crossed, events_version=version)
    return raised


def _used(house: Warehouse, catalog: Catalog) -> Iterator[tuple[Rule, list[_Window]]]:
    """Every quota with usage in any of its periods, and its windows in time order.

    A plan that a partner had, left and took up again within a period is one agreement: its usage is added up.
    """
    asked = [
        (partner, assigned, quota)
        for partner in catalog.partners
        for assigned in partner.plans
        for quota in catalog.plan(assigned.plan).quotas
    ]
    spans = [_span(partner, assigned, quota.meter) for partner, assigned, quota in asked]
    found: dict[Rule, list[_Window]] = {}
    last: dict[int, Rule] = {}
    for row in house.usage_by_window(catalog, spans).to_pylist():  # each span in time order
        rule = last.get(row["span"])
        if rule is None or row["window_start"] >= rule.end:
            partner, assigned, quota = asked[row["span"]]
            period = quota_period(quota.period, row["window_start"], partner.time_zone)
            rule = Rule(partner.id, quota.meter, assigned.plan, quota.period, *period, quota.limit, quota.thresholds)
            last[row["span"]] = rule
        found.setdefault(rule, []).append(_Window(row["window_start"], row["quantity"]))
    for rule, windows in found.items():
        yield rule, sorted(windows)


def _crossing(house: Warehouse, catalog: Catalog, new: Alert, windows: Sequence[_Window]) -> datetime | None:
    """Event time of the event with which usage reached the threshold, in time order."""
    missing = EXACT.multiply(level(new.rule, new.threshold_percent), catalog.meter(new.rule.meter).divide_by)
    for window in windows:
        if window.quantity >= missing:
            span = Span(new.rule.partner_id, new.rule.meter, window.start, window.start + _WINDOW)
            return house.crossing(catalog, span, missing)
        missing = EXACT.subtract(missing, window.quantity)
    return None


def _span(partner: Partner, assigned: PlanAssignment, meter: str) -> Span:
    start, end = partner.validity_us(assigned)
    return Span(partner.id, meter, from_us(start), from_us(min(end, _EVER_US)))
