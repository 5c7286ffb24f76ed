"""Usage in settled months that no issued invoice contains.

It is late, or of partners that were not issued or are unknown.

The module only reads. It compares the newest state of the lake with the versions that closes pinned. Fixed fees are not
usage and are not listed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from billing.invoicing import closing, stored
from billing.invoicing.closing import Close
from billing.invoicing.corrections.originals import only, stored_period, without_price
from billing.invoicing.corrections.standing import StandingUsage
from billing.periods import Period, billing_period, month
from billing.rating import bills
from billing.rating.settled import SettledPeriod
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.money import EXACT
from schemas.tables import ROLLUPS

_ZONES_APART = timedelta(hours=48)  # the most by which the previous settled period can end before a month starts
ZERO = Decimal(0)
Kind = Literal["late", "not_issued", "unknown"]


class Unbilled(NamedTuple):
    """Usage of one meter by a partner in a settled month that no issued document contains. Times are UTC, [start, end).

    `kind` is `late` for usage that arrived after the partner's month was settled, `not_issued` if the legal entity
    invoiced the month without this partner, and `unknown` if the catalog does not have the partner. `quantity` is in
    the meter's unit. It is negative if less is counted now than was billed. `amount` is the charge for the current
    usage at the prices of the close, minus the billed amount. It is None if there is no price, no plan or no catalog.
    """

    kind: Kind
    partner_id: str
    period: str
    number: str | None  # of the partner's invoice for the month
    start: datetime
    end: datetime
    meter: str
    unit: str
    quantity: Decimal
    amount: Decimal | None
    currency: str | None


def unbilled(lake: Lake, catalog: Catalog | None = None) -> list[Unbilled]:
    """All unbilled usage, ordered by partner, time and meter. Months that nobody has settled are not listed.

    `catalog` is the newest catalog, which may have partners that no close had. The default is the catalog of the newest
    close.
    """
    periods = closing.settled_periods(lake)
    reopened = closing.reopened_periods(lake)
    if not periods and not reopened:
        return []
    closes = closing.closes_by_id(lake)
    newest = max(closes.values(), key=lambda made: made.closed_at)
    book = catalog or newest.catalog()
    warehouse = Warehouse(lake, only=[ROLLUPS.name])
    found: list[Unbilled] = []
    for (close_id, gap), mine in StandingUsage(closes, periods, stored.rows(lake)).due(periods).items():
        until = warehouse if gap.until is None else _at(lake, closes[gap.until])
        found += _late(until, _at(lake, closes[gap.since]), closes[close_id], mine)
    months = {(closes[s.close_id].legal_entity, s.label) for s in (*periods, *reopened)}
    found += _not_issued(warehouse, book, periods, months)
    found += _unknown(warehouse, book, periods, {label for _, label in months})
    return sorted(found, key=lambda row: (row.partner_id, row.start, row.meter))


def _at(lake: Lake, made: Close) -> Warehouse:
    return Warehouse(lake, closing.pinned_versions(made), only=[ROLLUPS.name])


def _late(warehouse: Warehouse, then: Warehouse, made: Close, mine: Sequence[SettledPeriod]) -> Iterator[Unbilled]:
    """The current usage in the settled periods of a close, minus the usage that stands on documents."""
    catalog = made.catalog()
    meters = _billable(catalog)
    spans = [Span(s.partner_id, meter, s.start, s.end) for s in mine for meter in meters]
    pairs = zip(spans, warehouse.usage(catalog, spans), then.usage(catalog, spans), strict=True)
    more = {(span.partner_id, span.meter): EXACT.subtract(now, before) for span, now, before in pairs if now != before}
    if not more:
        return
    content = only(made.content, {partner_id for partner_id, _ in more})
    today, billed = (_priced(made.rules.drafts(each, content, catalog)) for each in (warehouse, then))
    for settled in mine:
        changed = [meter for meter in meters if (settled.partner_id, meter) in more]
        if not changed:
            continue
        unpriced = without_price(warehouse, catalog, stored_period(made, catalog, settled))
        for meter in changed:
            amount = EXACT.subtract(
                today.amounts.get((settled.partner_id, meter), ZERO),
                billed.amounts.get((settled.partner_id, meter), ZERO),
            )
            currency = today.currencies.get(settled.partner_id) or billed.currencies.get(settled.partner_id)
            priced = currency is not None and meter not in unpriced
            yield Unbilled(
                "late", settled.partner_id, settled.label, settled.number, settled.start, settled.end, meter, catalog.meter(meter).unit,
                _in_unit(catalog, meter, more[settled.partner_id, meter]), amount if priced else None, currency if priced else None,
            )  # fmt: skip


class _OpenTimes(NamedTuple):
    """The times of a partner's month that are not settled."""

    partner_id: str
    label: str
    pieces: list[Period]


def _not_issued(
    warehouse: Warehouse, catalog: Catalog, periods: Sequence[SettledPeriod], months: Iterable[tuple[str, str]]
) -> Iterator[Unbilled]:
    """Usage in months that the partner's legal entity settled without the partner, by the newest catalog."""
    settled_times = _settled_times(periods)
    open_times: list[_OpenTimes] = []
    starts: dict[tuple[str, str], datetime] = {}
    for entity, label in sorted(months):
        for partner in catalog.payers(entity):
            whole = _open_month(partner, label, settled_times.get(partner.id, ()))
            starts[partner.id, label] = whole.start
            open_times.append(_OpenTimes(partner.id, label, _less(whole, settled_times.get(partner.id, ()))))
    for found, used in _used(warehouse, catalog, open_times):
        partner = catalog.known_partner(found.partner_id)
        period = billing_period(catalog, partner, found.label, starts[partner.id, found.label])
        assert period is not None, "a part of the month is not settled"
        priced = _priced(bills.drafts_of(catalog, [period], _UsageWithin(warehouse, catalog, found.pieces))[0])
        currency = priced.currencies.get(partner.id)
        unpriced = without_price(warehouse, catalog, period) if currency else set(used)
        for meter, quantity in used.items():
            row = _row("not_issued", catalog, found, meter, quantity)
            if meter not in unpriced:
                row = row._replace(amount=priced.amounts.get((partner.id, meter), ZERO), currency=currency)
            yield row


def _unknown(
    warehouse: Warehouse, catalog: Catalog, periods: Sequence[SettledPeriod], labels: Iterable[str]
) -> Iterator[Unbilled]:
    """Usage of partners without a catalog record in settled months, without periods that were settled for them.

    Months are in UTC.
    """
    names = pa.array([p.id for p in catalog.partners], pa.string())
    warehouse.con.register("partners", pa.table({"partner_id": names}))
    settled_times = _settled_times(periods)
    open_times = [
        _OpenTimes(row["partner_id"], label, _less(whole, settled_times.get(row["partner_id"], ())))
        for label in sorted(labels)
        for whole in [month(label, "Etc/UTC")]
        for row in warehouse.query("unknown_partners", whole._asdict()).to_pylist()
    ]
    for found, used in _used(warehouse, catalog, open_times):
        for meter, quantity in used.items():
            yield _row("unknown", catalog, found, meter, quantity)


def _used(
    warehouse: Warehouse, catalog: Catalog, open_times: Sequence[_OpenTimes]
) -> Iterator[tuple[_OpenTimes, dict[str, Decimal]]]:
    """The times that have usage, and the usage of each billable meter in them, in the unit of its field."""
    meters = _billable(catalog)
    spans = [Span(a.partner_id, meter, *piece) for a in open_times for piece in a.pieces for meter in meters]
    counted = iter(warehouse.usage(catalog, spans))
    for found in open_times:
        used = dict.fromkeys(meters, ZERO)
        for _ in found.pieces:
            used = {meter: EXACT.add(used[meter], next(counted)) for meter in meters}
        if some := {meter: quantity for meter, quantity in used.items() if quantity}:
            yield found, some


def _row(kind: Kind, catalog: Catalog, found: _OpenTimes, meter: str, quantity: Decimal) -> Unbilled:
    """A row without a price."""
    return Unbilled(
        kind, found.partner_id, found.label, None, found.pieces[0].start, found.pieces[-1].end, meter, catalog.meter(meter).unit,
        _in_unit(catalog, meter, quantity), None, None,
    )  # fmt: skip


def _settled_times(periods: Iterable[SettledPeriod]) -> dict[str, list[Period]]:
    settled_times: dict[str, list[Period]] = {}
    for settled in periods:
        settled_times.setdefault(settled.partner_id, []).append(Period(settled.start, settled.end))
    return settled_times


class _UsageWithin(NamedTuple):
    """The usage of a lake within given times only, as `billing.rating.bills` needs it."""

    warehouse: Warehouse
    catalog: Catalog
    pieces: Sequence[Period]

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span within the pieces."""
        cut = [
            (i, span._replace(start=max(span.start, piece.start), end=min(span.end, piece.end)))
            for i, span in enumerate(spans)
            for piece in self.pieces
        ]
        cut = [(i, span) for i, span in cut if span.start < span.end]
        sums = [ZERO] * len(spans)
        for (i, _), quantity in zip(cut, self.warehouse.usage(self.catalog, [span for _, span in cut]), strict=True):
            sums[i] = EXACT.add(sums[i], quantity)
        return sums


class _Priced(NamedTuple):
    """The amounts of drafts: (partner id, meter) → the sum of its lines, and partner id → currency."""

    amounts: Mapping[tuple[str, str], Decimal]
    currencies: Mapping[str, str]


def _priced(drafts: Iterable[Any]) -> _Priced:
    """The amounts of drafts of any version of the rules."""
    amounts: dict[tuple[str, str], Decimal] = {}
    currencies = {}
    for draft in drafts:
        currencies[draft.partner.id] = draft.currency
        for line in draft.lines:
            if line.rate.meter:
                key = (draft.partner.id, line.rate.meter)
                amounts[key] = EXACT.add(amounts.get(key, ZERO), line.charge.amount)
    return _Priced(amounts, currencies)


def _open_month(partner: Partner, label: str, settled_times: Iterable[Period]) -> Period:
    """The month of a partner.

    It starts at the end of the previous settled period if that period ended shortly before the month.
    """
    start, end = month(label, partner.time_zone)
    ended = [s.end for s in settled_times if start - _ZONES_APART < s.end <= start]
    return Period(max(ended, default=start), end)


def _less(whole: Period, settled_times: Iterable[Period]) -> list[Period]:
    """The parts of a period outside of the settled times, in order."""
    pieces = []
    reached = whole.start
    for start, end in sorted(settled_times):
        if reached < min(start, whole.end):
            pieces.append(Period(reached, min(start, whole.end)))
        reached = max(reached, end)
    return [*pieces, Period(reached, whole.end)] if reached < whole.end else pieces


def _billable(catalog: Catalog) -> list[str]:
    return [meter.id for meter in catalog.meters if meter.billable]


def _in_unit(catalog: Catalog, meter: str, counted: Decimal) -> Decimal:
    return EXACT.divide(counted, catalog.meter(meter).divide_by)
