"""Quota alerts of the embedded run: usage by the same SQL as the invoice, the rule by `aggregate.quota`."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

from aggregate import alerts
from aggregate.quota import Alert, Fired, Rule, due, level
from billing.periods import Period, quota_period
from billing.rating import in_unit
from billing.warehouse import Span, Warehouse
from schemas.catalog import Catalog, Partner
from schemas.windows import WINDOW_US

_WINDOW = timedelta(microseconds=WINDOW_US)


def alert(root: Path, catalog: Catalog) -> list[Alert]:
    """Fire what is due at the newest state of the lake, once; the alerts that fired now. Late usage alerts in its own period."""
    house = Warehouse(root)
    ledger = alerts.fired(root)
    fired: list[Alert] = []
    crossed: dict[str, datetime] = {}
    for rule, used, seen_until in _totals(house, catalog):
        for new in due(rule, used, ledger.get(alerts.key_of(rule), Fired()), seen_until=seen_until):
            fired.append(new)
            if new.kind == "quota":
                meter = catalog.meter(rule.meter)
                reached = level(rule, new.threshold_percent) * meter.divide_by
                at = house.crossing(catalog, Span(rule.partner_id, rule.meter, rule.start, rule.end), reached)
                if at is not None:
                    crossed[new.alert_id] = at
    alerts.record(root, fired, crossed, events_version=house.versions["events"])
    return fired


def _totals(house: Warehouse, catalog: Catalog) -> Iterator[tuple[Rule, Decimal, datetime]]:
    """Every quota with usage in any of its periods: the rule, what was used (in the meter's unit), and the end of the newest window."""
    everything = [
        (partner, quota, assigned.plan, span)
        for partner in catalog.partners
        for assigned in partner.plans
        for quota in catalog.plan(assigned.plan).quotas
        for span in [_span(partner, quota.meter, assigned.valid_from, assigned.valid_to)]
    ]
    by_span: dict[int, list[tuple[datetime, Decimal]]] = {}
    for row in house.usage_by_window(catalog, [span for *_, span in everything]).to_pylist():
        by_span.setdefault(row["span"], []).append((row["window_start"], row["quantity"]))
    for number, windows in sorted(by_span.items()):
        partner, quota, plan, _ = everything[number]
        periods: dict[Period, list[tuple[datetime, Decimal]]] = {}
        for start, quantity in windows:
            periods.setdefault(quota_period(quota.period, start, partner.time_zone), []).append((start, quantity))
        for period, steps in periods.items():
            used = list(accumulate(quantity for _, quantity in steps))[-1]
            rule = Rule(
                partner.id, quota.meter, plan, quota.period, period.start, period.end, quota.limit, quota.thresholds
            )
            yield rule, in_unit(catalog, quota.meter, used), steps[-1][0] + _WINDOW


def _span(partner: Partner, meter: str, start: object, end: object) -> Span:
    far = datetime.fromisoformat("2100-01-01T00:00:00+00:00")
    return Span(partner.id, meter, partner.instant(start), far if end is None else partner.instant(end))  # type: ignore[arg-type]
