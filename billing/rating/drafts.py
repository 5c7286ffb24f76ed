"""Turns a billing period and its usage into a draft invoice.

A problem is always reported; no line is silently left out.

The charge of a line is its price for the count at its end, minus its price for the count at its start
(billing/rating/outlines.py says which lines share a count).
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from billing.periods import BillingPeriod, Interval, days_between
from billing.pricing.charge import Charge, OfMonth, PricingError, charge
from billing.rating.appendices import NO_APPENDICES, Appendices
from billing.rating.extras import Extra
from billing.rating.limited import LimitedLine, LimitedRate, limited_rates
from billing.rating.outlines import DraftOutline, LineOutline
from billing.usage.quota_statement import QuotaRow, statement_row
from schemas.catalog.prices.price import Share
from schemas.catalog.rates import Rate
from schemas.catalog.records import Catalog, Partner, Plan
from schemas.money import EXACT, MINOR_UNITS
from schemas.texts.wording import ENGLISH, Wording

ZERO = Decimal(0)


class Line(NamedTuple):
    """A priced line.

    `usage` is in the unit of the meter's field (requests, bytes, µs); `quantity` is the same in the meter's unit.

    `counted_before` is the month's count at the start of the line, in the meter's unit. `share` is the share of the
    month's time that the line covers. Plan, start and `position`, the index of the rate among those with which the line
    starts, say which line of the month it is: a meter may have several rates.
    """

    plan: Plan
    rate: Rate
    interval: Interval
    usage: Decimal
    quantity: Decimal
    counted_before: Decimal
    share: Share
    charge: Charge
    position: int

    @property
    def start(self) -> datetime:
        """The first instant."""
        return self.interval.start

    @property
    def end(self) -> datetime:
        """The first instant after the line."""
        return self.interval.end


class Draft(NamedTuple):
    """What a partner owes for a period: an invoice without a number."""

    partner: Partner
    period: BillingPeriod
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    quotas: tuple[QuotaRow, ...]  # the statement of monthly quotas
    extras: tuple[Extra, ...] = ()
    purchase_order: str | None = None  # the number of the partner's order that pays for it
    appendices: Appendices = NO_APPENDICES
    limited: tuple[LimitedRate, ...] = ()  # the metered rates with a maximum or a minimum, in the order of their begin

    def with_extras(self, extras: Sequence[Extra]) -> "Draft":
        """The draft with more amounts, which its total contains."""
        with localcontext(EXACT):
            total = sum((extra.amount for extra in extras), self.total)
        return self._replace(extras=(*self.extras, *extras), total=total)


def draft(catalog: Catalog, outline: DraftOutline, usage: Sequence[Decimal]) -> tuple[Draft | None, list[str]]:
    """Prices the usage of `outline.spans()`. A draft with problems must not be issued.

    The draft is None if it has no line and the contract asks for nothing without one.
    """
    amounts = iter(usage)
    counted = [next(amounts) if x.rate.meter else ZERO for x in outline.lines]
    used = [[next(amounts) for _ in quota.held] for quota in outline.period.quotas]
    problems = [*outline.problems]
    for plan, interval, meter in outline.unrated:
        if quantity := next(amounts):
            problems.append(
                f"partner {outline.partner.id}: meter {meter} counted {quantity}, but rate card {plan.rate_card} has no rate for it "
                f"from {interval.first_day} on; add one (a price of 0 is a price), or set `billable: false` for the meter"
            )
    problems += _without_plan(catalog, outline, [next(amounts) for _ in outline.unplanned])
    currency = _currency(catalog, outline)
    if currency is None:
        return None, problems
    lines, limited, unpriced = _lines(catalog, outline, counted, MINOR_UNITS[currency])
    with localcontext(EXACT):
        rows = [
            statement_row(catalog, quota, sum(n, ZERO)) for quota, n in zip(outline.period.quotas, used, strict=True)
        ]
        total = sum((line.charge.amount for line in lines), ZERO)
    made = Draft(outline.partner, outline.period, currency, tuple(lines), total, tuple(rows), limited=tuple(limited))
    partner = outline.partner
    return (made if lines or partner.fees or partner.minimums or partner.commitments else None), problems + unpriced


def _currency(catalog: Catalog, outline: DraftOutline) -> str | None:
    """The currency of a draft. A month without a plan has one if a commitment may end in it, or a fee is due."""
    if outline.lines:
        return catalog.rate_card(outline.lines[0].plan.rate_card).currency
    partner = outline.partner
    currencies = [term.currency for terms in (partner.fees, partner.commitments) for term in terms]
    return currencies[-1] if currencies else None


def _lines(
    catalog: Catalog, outline: DraftOutline, counted: Sequence[Decimal], places: int
) -> tuple[list[Line], list[LimitedRate], list[str]]:
    """The priced lines in time order, the rates with limits of their own, and problems.

    Usage of zero and usage within the free units produce no line.
    """
    quantities = [
        in_unit(catalog, x.rate.meter, n) if x.rate.meter else Decimal(1)
        for x, n in zip(outline.lines, counted, strict=True)
    ]
    before, totals = _counts(outline.lines, quantities)
    owed: list[tuple[Decimal, Decimal]] = []  # for each line, what its rate came to and was granted up to its end
    lines: list[Line] = []
    rates: dict[tuple[datetime, int], list[LimitedLine]] = {}  # by where a rate begins: its lines follow one another
    problems: list[str] = []
    for x, planned in enumerate(outline.lines):
        rate, share = planned.rate, planned.share
        billed, granted = (ZERO, ZERO) if planned.follows is None else owed[planned.follows]
        owed.append((billed, granted))
        place = OfMonth(
            before[x], totals[x], planned.follows is None, planned.is_last, share, billed, granted, planned.span
        )
        if planned.follows is None:
            of_rate = rates[planned.interval.start, planned.position] = []
        of_rate.append(LimitedLine(rate, quantities[x], place))
        try:
            made = planned.fee or charge(rate.price, quantities[x], terms=planned.terms, places=places, of_month=place)
        except PricingError as exc:
            problems.append(f"partner {outline.partner.id}, {rate.meter}: {exc}")
            continue
        owed[x] = EXACT.add(billed, made.amount), EXACT.add(granted, made.granted)
        if made.parts or (rate.meter and made.billed_quantity):
            lines.append(
                Line(planned.plan, rate, planned.interval, counted[x], quantities[x], before[x], share, made, planned.position)
            )  # fmt: skip
    limited = [] if problems else limited_rates([rates[begin] for begin in sorted(rates)], places)
    return sorted(lines, key=lambda line: (line.start, line.position)), limited, problems


def _counts(lines: Sequence[LineOutline], quantities: Sequence[Decimal]) -> tuple[list[Decimal], list[Decimal]]:
    """For each line, the month's count of its rate at the start of the line, and at the end of the month."""
    before: list[Decimal] = []
    for planned in lines:
        last = planned.follows
        before.append(ZERO if last is None else EXACT.add(before[last], quantities[last]))
    totals = [EXACT.add(start, quantity) for start, quantity in zip(before, quantities, strict=True)]
    for place in reversed(range(len(lines))):
        last = lines[place].follows
        if last is not None:
            totals[last] = totals[place]
    return before, totals


def _without_plan(catalog: Catalog, outline: DraftOutline, counted: Sequence[Decimal]) -> list[str]:
    """A problem for usage in intervals without a plan, because it has no price."""
    sums: dict[str, Decimal] = {}
    for (_, meter), quantity in zip(outline.unplanned, counted, strict=True):
        sums[meter] = EXACT.add(sums.get(meter, ZERO), quantity)
    usage = [f"{in_unit(catalog, m, n)} {catalog.meter(m).unit}" for m, n in sums.items() if n]
    if not usage:
        return []
    days = days_between(outline.period.without_plan)
    message = (
        f"partner {outline.partner.id} has {' and '.join(usage)} while it has no plan ({days}); "
        f"assign a plan for that time in the catalog, with a price of 0 if it is free"
    )
    return [message]


def description(catalog: Catalog, rate: Rate, say: Wording = ENGLISH) -> str:
    """What a line is called: by the rate, by its meter, or by what it is."""
    meter = catalog.meter(rate.meter) if rate.meter else None
    return rate.description or (meter.description if meter else "") or (meter.id if meter else say("fee"))


def in_unit(catalog: Catalog, meter_id: str, counted: Decimal) -> Decimal:
    """A count in the meter's unit. Raises decimal.Inexact if the division is not exact."""
    return EXACT.divide(counted, catalog.meter(meter_id).divide_by)
