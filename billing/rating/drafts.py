"""Turns a billing period and its usage into a draft invoice.

A problem is always reported; no line is silently left out.

How a period is split into lines (docs/pricing.md, "When a contract changes inside a month"): the parts of a period
under one plan share one running count. A rate that is equal in two consecutive versions of the rate card is one line.
Otherwise the charge of a line is its price for the count at its end, minus its price for the count at its start. A
meter whose usage does not add up has one line, at the last price.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from billing.periods import BillingPeriod, Interval, days_between
from billing.pricing.charge import Charge, OfMonth, PricingError, charge
from billing.rating.appendices import NO_APPENDICES, Appendices
from billing.rating.extras import Extra
from billing.rating.limited import LimitedLine, LimitedRate, limited_rates
from billing.rating.terms import own_prices
from billing.usage.quota_statement import QuotaRow, statement_row
from billing.usage.warehouse import Span
from schemas.catalog.prices.price import Share
from schemas.catalog.rates import Rate
from schemas.catalog.records import Catalog, Partner, Plan
from schemas.money import EXACT, MINOR_UNITS
from schemas.texts.wording import ENGLISH, Wording
from schemas.windows import to_us

ZERO = Decimal(0)


class LineOutline(NamedTuple):
    """A line whose usage is not known yet: one rate during one interval of one plan.

    `position` is the index of the rate among the rates with which the line starts. `follows` is the
    index of the previous line that continues the same count, or None for the first. `is_last` is true if no line
    continues the count.
    """

    plan: Plan
    rate: Rate
    interval: Interval
    position: int
    follows: int | None
    is_last: bool


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


class DraftOutline(NamedTuple):
    """A draft whose usage is not known yet: its lines, the usage to look up, and the problems known so far."""

    partner: Partner
    period: BillingPeriod
    lines: tuple[LineOutline, ...]
    unrated: tuple[tuple[Plan, Interval, str], ...]  # billable meters without a rate in a version of the rate card
    unplanned: tuple[tuple[Interval, str], ...]  # billable meters, for each interval without a plan
    problems: tuple[str, ...]

    def spans(self) -> list[Span]:
        """The spans whose usage `draft` needs, in the order in which it expects the values."""
        partner_id = self.partner.id
        return [
            *(Span(partner_id, x.rate.meter, x.interval.start, x.interval.end) for x in self.lines if x.rate.meter),
            *(Span(partner_id, q.meter, held.start, held.end) for q in self.period.quotas for held in q.held),
            *(Span(partner_id, meter, part.start, part.end) for _, part, meter in self.unrated),
            *(Span(partner_id, meter, gap.start, gap.end) for gap, meter in self.unplanned),
        ]


def outline(catalog: Catalog, partner: Partner, period: BillingPeriod) -> DraftOutline:
    """The lines of a period by its plans and rate cards, and the usage to look up for them."""
    lines: list[LineOutline] = []
    unrated: list[tuple[Plan, Interval, str]] = []
    problems: list[str] = []
    billable = [meter.id for meter in catalog.meters if meter.billable]
    for plan_id in dict.fromkeys(stay.plan for stay in period.stays):
        plan = catalog.plan(plan_id)
        card = catalog.rate_card(plan.rate_card)
        parts: list[tuple[Interval, Sequence[Rate]]] = []
        for place, interval in (part for stay in period.stays if stay.plan == plan_id for part in stay.versions):
            if place is None:
                problems.append(
                    f"partner {partner.id}: rate card {card.id} has no version for {interval.first_day}; add one that is valid from that day"
                )
                continue
            rates = own_prices.rates(partner, plan_id, card.versions[place], interval.first_day)
            parts.append((interval, rates))
            priced = {rate.meter for rate in rates}
            unrated += [(plan, interval, meter) for meter in billable if meter not in priced]
        additive = {meter.id for meter in catalog.meters if meter.is_additive}
        lines += _line_outlines(plan, parts, len(lines), additive)
    currencies = {catalog.rate_card(x.plan.rate_card).currency for x in lines}
    if len(currencies) > 1:
        problems.append(
            f"partner {partner.id}: plans of one month are priced in {' and '.join(sorted(currencies))}; use one currency per month"
        )
    unplanned = [(gap, meter) for gap in period.without_plan for meter in billable]
    return DraftOutline(partner, period, tuple(lines), tuple(unrated), tuple(unplanned), tuple(problems))


class _RateInterval(NamedTuple):
    """An interval in which a rate did not change.

    `position` is its index among the rates with which the interval starts.
    """

    interval: Interval
    rate: Rate
    position: int


def _line_outlines(
    plan: Plan, parts: Sequence[tuple[Interval, Sequence[Rate]]], first: int, additive: Collection[str]
) -> Iterator[LineOutline]:
    """The lines of one plan, rate by rate. `first` is the index of the first of them among all lines of the period.

    The usage of a meter that is not `additive` has no parts, so its lines are whole (`_undivided`).
    """
    chains: list[list[_RateInterval]] = []
    open_chains: list[list[_RateInterval]] = []
    for interval, all_rates in parts:
        places = [n for n, rate in enumerate(all_rates) if rate.meter is None or rate.meter in additive]
        rates = [all_rates[n] for n in places]
        continued = _continued([chain[-1].rate for chain in open_chains], rates)
        now: list[list[_RateInterval]] = []
        for position, rate, before in zip(places, rates, continued, strict=True):
            piece = _RateInterval(interval, rate, position)
            if before is None:
                chains.append([piece])
                now.append(chains[-1])
                continue
            chain = open_chains[before]
            last = chain[-1]
            if last.interval.end == interval.start and _same_price(last.rate, rate):
                longer = last.interval._replace(end=interval.end, last_day=interval.last_day)
                chain[-1] = _RateInterval(longer, rate, last.position)
            else:
                chain.append(piece)
            now.append(chain)
        open_chains = now
    place = first
    for chain in chains:
        for number, piece in enumerate(chain):
            follows, is_last = place - 1 if number else None, number == len(chain) - 1
            yield LineOutline(plan, piece.rate, piece.interval, piece.position, follows, is_last)
            place += 1
    for piece in _undivided(parts, additive):
        yield LineOutline(plan, piece.rate, piece.interval, piece.position, None, is_last=True)


def _undivided(parts: Sequence[tuple[Interval, Sequence[Rate]]], additive: Collection[str]) -> Iterator[_RateInterval]:
    """The rates of meters whose usage has no parts, each for the whole time until it ends.

    As long as intervals adjoin and price the meter, the last of them has the rates of all. A partner that left the plan
    and returned has a line for each stay.
    """
    before: dict[str, list[_RateInterval]] = {}
    for interval, rates in parts:
        now: dict[str, list[_RateInterval]] = {}
        for position, rate in enumerate(rates):
            if rate.meter is not None and rate.meter not in additive:
                earlier = before.get(rate.meter)
                whole = interval
                if earlier and earlier[0].interval.end == interval.start:
                    whole = earlier[0].interval._replace(end=interval.end, last_day=interval.last_day)
                now.setdefault(rate.meter, []).append(_RateInterval(whole, rate, position))
        for meter, ended in before.items():
            if meter not in now or now[meter][0].interval.start != ended[0].interval.start:
                yield from ended
        before = now
    for last in before.values():
        yield from last


def _continued(before: Sequence[Rate], rates: Sequence[Rate]) -> list[int | None]:
    """For each rate, the index of the rate of the previous version that it continues.

    An equal rate takes precedence over one of the same meter.
    """
    left = list(range(len(before)))
    predecessors: list[int | None] = [None] * len(rates)
    for matches in (_same_price, lambda one, other: one.meter is not None and one.meter == other.meter):
        for position, rate in enumerate(rates):
            if predecessors[position] is None:
                predecessors[position] = next((n for n in left if matches(before[n], rate)), None)
                if predecessors[position] is not None:
                    left.remove(predecessors[position])  # type: ignore[arg-type]
    return predecessors


def _same_price(one: Rate, other: Rate) -> bool:
    """Whether two rates charge the same for the same usage. Their descriptions may differ."""
    return (one.meter, one.price, one.terms) == (other.meter, other.price, other.terms)


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
    shares = [_share(planned.interval, outline.period) for planned in outline.lines]
    spans = _spans(outline.lines, shares)
    owed: list[tuple[Decimal, Decimal]] = []  # for each line, what its rate came to and was granted up to its end
    lines: list[Line] = []
    rates: dict[tuple[datetime, int], list[LimitedLine]] = {}  # by where a rate begins: its lines follow one another
    problems: list[str] = []
    for x, planned in enumerate(outline.lines):
        rate, share = planned.rate, shares[x]
        billed, granted = (ZERO, ZERO) if planned.follows is None else owed[planned.follows]
        owed.append((billed, granted))
        place = OfMonth(
            before[x], totals[x], planned.follows is None, planned.is_last, share, billed, granted, spans[x]
        )
        if planned.follows is None:
            of_rate = rates[planned.interval.start, planned.position] = []
        of_rate.append(LimitedLine(rate, quantities[x], place))
        try:
            made = charge(rate.price, quantities[x], terms=rate.terms, places=places, of_month=place)
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


def _spans(lines: Sequence[LineOutline], shares: Sequence[Share]) -> list[Share]:
    """For each line, the share of the month that all lines of its rate cover together."""
    spans = list(shares)
    for place, planned in enumerate(lines):
        if planned.follows is not None:
            spans[place] = spans[place]._replace(part_us=spans[place].part_us + spans[planned.follows].part_us)
    for place in reversed(range(len(lines))):
        last = lines[place].follows
        if last is not None:
            spans[last] = spans[place]
    return spans


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


def _share(interval: Interval, period: BillingPeriod) -> Share:
    """The share of the period's time that an interval covers."""
    return Share(
        to_us(interval.end) - to_us(interval.start),
        to_us(period.end) - to_us(period.start),
        (_days(interval), _days(period.interval)),
    )


def _days(interval: Interval) -> int:
    return (interval.last_day - interval.first_day).days + 1


def description(catalog: Catalog, rate: Rate, say: Wording = ENGLISH) -> str:
    """What a line is called: by the rate, by its meter, or by what it is."""
    meter = catalog.meter(rate.meter) if rate.meter else None
    return rate.description or (meter.description if meter else "") or (meter.id if meter else say("fee"))


def in_unit(catalog: Catalog, meter_id: str, counted: Decimal) -> Decimal:
    """A count in the meter's unit. Raises decimal.Inexact if the division is not exact."""
    return EXACT.divide(counted, catalog.meter(meter_id).divide_by)
