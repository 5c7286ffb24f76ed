"""Alerts on budgets: what a partner owes for a month that is not settled, as `tollbook invoice rate` shows it.

The amount comes from the same function, so fees count from the start of the month. A month in which the partner has no
usage has no alerts. An alert names the budget under which it fired. As with quotas, it is kept while the amount reaches
its threshold of the present budget.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from billing.invoicing import closing, history
from billing.periods import BillingPeriod, month, month_after, month_of
from billing.rating import bills, outlines
from billing.rating import drafts as rating
from billing.rating.drafts import Draft
from billing.rating.terms.applied import with_terms
from lake import duck
from schemas.alerts import Alert, Kind
from schemas.catalog.records import Budget, Catalog, Partner
from schemas.money import EXACT, money, plain
from schemas.quotas import is_reached, level
from schemas.tables import TIME
from schemas.windows import WINDOW_US
from tollbook.alerting.scene import Detector, Scene

_WINDOW = timedelta(microseconds=WINDOW_US)
_INSTANT = timedelta(microseconds=1)
_LINES_SHOWN = 3
_ZERO = Decimal(0)
_MONTHS = pa.schema([("position", pa.int64()), ("partner_id", pa.string()), ("month_start", TIME), ("month_end", TIME)])
_Month = tuple[str, str]  # partner id, YYYY-MM


class MonthAmount(NamedTuple):
    """What a partner with a budget owes for a month so far. `draft` is None if there is nothing to pay."""

    partner: Partner
    budget: Budget
    label: str
    draft: Draft | None

    @property
    def amount(self) -> Decimal:
        """The total of the draft."""
        return _ZERO if self.draft is None else self.draft.total


def evaluate(scene: Scene) -> list[Alert]:
    """The alerts that hold in the months that were examined."""
    found = []
    for month_amount in examined(scene).values():
        if month_amount.draft is not None:
            found += _alerts(scene, month_amount, month_amount.draft)
    return found


def covers(scene: Scene, alert: Alert) -> bool:
    """Whether the month was examined, and its amount does not keep the alert."""
    found = examined(scene).get((alert.subject, alert.key["period"]))
    return found is not None and not _is_kept(found, alert)


def refuted_by(scene: Scene, alert: Alert) -> Mapping[str, Any]:
    """The amount and budget by which the alert does not hold."""
    found = examined(scene)[alert.subject, alert.key["period"]]
    currency = alert.key["currency"] if found.draft is None else found.draft.currency
    return _evidence(found, currency, passed=False)


def examined(scene: Scene) -> dict[_Month, MonthAmount]:
    """The months that may have changed, of partners with a budget, in the order of partners. No month is settled."""
    return scene.once("amounts of budgets", lambda: _examined(scene))


def _examined(scene: Scene) -> dict[_Month, MonthAmount]:
    months = list(_changed_months(scene))
    if not months:
        return {}
    catalog = scene.catalog
    lake = scene.house.lake
    before = history.looked_back(lake, [partner for partner, _ in months])
    amounts = bills.running(catalog, months, scene.house.usage_of(catalog), closing.settled_ends(lake), before)
    used = _used(scene, months)
    found = {}
    for partner, label in months:
        if (partner.id, label) in amounts and partner.budget is not None:
            draft = amounts[partner.id, label] if (partner.id, label) in used else None
            found[partner.id, label] = MonthAmount(partner, partner.budget, label, draft)
    return found


def _changed_months(scene: Scene) -> Iterator[tuple[Partner, str]]:
    """The months from the first window that changed to the newest usage, of each partner with a budget."""
    if scene.seen_until is None or all(p.budget is None for p in scene.catalog.partners):
        return
    (extent,) = scene.house.query("extent").to_pylist()
    for partner in scene.catalog.payers():
        first = extent["first_window"] if scene.changed is None else scene.changed.get(partner.id)
        if partner.budget is None or first is None:
            continue
        label, last = (month_of(instant, partner.time_zone) for instant in (first, scene.seen_until - _INSTANT))
        while label <= last:
            yield partner, label
            label = month_after(label)


def _used(scene: Scene, months: Sequence[tuple[Partner, str]]) -> set[_Month]:
    rows = [
        {"position": i, "partner_id": partner.id, **dict(zip(("month_start", "month_end"), month(label, partner.time_zone), strict=True))}
        for i, (partner, label) in enumerate(months)
    ]  # fmt: skip
    scene.house.con.register("months", pa.Table.from_pylist(rows, _MONTHS))
    found = scene.house.ask(duck.statement("tollbook.sql", "months_used")).to_pylist()
    return {(months[row["position"]][0].id, months[row["position"]][1]) for row in found}


def _alerts(scene: Scene, found: MonthAmount, draft: Draft) -> list[Alert]:
    """The alerts of a month: those of the present budget by ascending threshold, then earlier ones that it keeps."""
    partner, budget = found.partner, found.budget
    reached = [t for t in budget.thresholds if is_reached(draft.total, budget.amount, t)]
    alerts = [
        Alert(
            Kind.BUDGET, partner.id, _key(found, t, draft.currency), None,
            _evidence(found, draft.currency, passed=t != reached[-1]), partner.id, draft.period.end,
        )
        for t in reached
    ]  # fmt: skip
    times = _times(scene, draft, [(alert, level(budget.amount, t)) for alert, t in zip(alerts, reached, strict=True)])
    alerts = [alert._replace(at=times[alert.alert_id]) for alert in alerts]
    present = {alert.alert_id for alert in alerts}
    earlier = (s.alert for alert_id, s in scene.statements.items() if s.holds and alert_id not in present)
    return alerts + [
        alert
        for alert in earlier
        if (alert.subject, alert.key["period"]) == (partner.id, found.label) and _is_kept(found, alert)
    ]


def _is_kept(found: MonthAmount, alert: Alert) -> bool:
    return is_reached(found.amount, found.budget.amount, Decimal(alert.key["threshold_percent"]))


def _key(found: MonthAmount, threshold: Decimal, currency: str) -> dict[str, str]:
    return {
        "period": found.label,
        "threshold_percent": plain(threshold),
        "budget": plain(found.budget.amount),
        "currency": currency,
    }


def _evidence(found: MonthAmount, currency: str, *, passed: bool) -> dict[str, Any]:
    lines = () if found.draft is None else found.draft.lines
    most = sorted(lines, key=lambda line: -line.charge.amount)[:_LINES_SHOWN]
    return {
        "amount": money(found.amount, currency),
        "budget": plain(found.budget.amount),
        "currency": currency,
        "passed": passed,
        "top_lines": [
            {
                "meter": line.rate.meter,
                "description": line.rate.description or line.rate.meter or "Fee",
                "quantity": plain(line.quantity),
                "amount": money(line.charge.amount, currency),
            }
            for line in most
        ],
    }


def _times(scene: Scene, draft: Draft, alerts: Sequence[tuple[Alert, Decimal]]) -> dict[str, datetime]:
    """Alert id → time from which the amount reached a level.

    A time that is on record stands, unless usage up to it may have changed.
    """
    at: dict[str, datetime] = {}
    missing = []
    for alert, wanted in alerts:
        if (stated := scene.time_on_record(alert)) is not None:
            at[alert.alert_id] = stated
        else:
            missing.append((alert, wanted))
    if missing:
        growth = Growth(scene, draft.partner, draft.period)
        at |= {alert.alert_id: growth.reached(wanted) for alert, wanted in missing}
    return at


class Growth:
    """The amount of a month after each quarter of an hour with usage, rated like the whole month."""

    def __init__(self, scene: Scene, partner: Partner, period: BillingPeriod) -> None:
        self._catalog: Catalog = scene.catalog
        self._outline = outlines.outline(scene.catalog, partner, period)
        self._before = history.looked_back(scene.house.lake, [partner]).get(partner.id, ())
        spans = self._outline.spans()
        by_window: dict[datetime, list[tuple[int, Decimal]]] = {}
        for row in scene.house.usage_by_window(scene.catalog, spans).to_pylist() if spans else ():
            by_window.setdefault(row["window_start"].astimezone(UTC), []).append((row["span"], row["quantity"]))
        self._instants = [period.start.astimezone(UTC)]
        self._sums = [[_ZERO] * len(spans)]
        for start, rows in sorted(by_window.items()):
            counted = list(self._sums[-1])
            for span, quantity in rows:
                counted[span] = EXACT.add(counted[span], quantity)
            self._instants.append(start + _WINDOW)
            self._sums.append(counted)

    def reached(self, amount: Decimal) -> datetime:
        """The end of the quarter of an hour in which the amount is reached; the start of the month if fees reach it.

        It is searched by halves: if a price falls with usage (volume), it is one of the crossings, and always the same.
        """
        place = bisect_left(range(len(self._sums)), amount, key=self._amount)
        return self._instants[min(place, len(self._instants) - 1)]

    def _amount(self, place: int) -> Decimal:
        draft, _ = rating.draft(self._catalog, self._outline, self._sums[place])
        return _ZERO if draft is None else with_terms(draft, self._before)[0].total


DETECTOR = Detector(
    kind=Kind.BUDGET, evaluate=evaluate, covers=covers, material=lambda alert: alert.at, refuted_by=refuted_by
)
