"""From a billing period and its usage to a draft invoice: pure, exact, with every problem listed instead of a line left out.

How lines come about (docs/pricing.md, "When a contract changes inside a month"): all parts of a period under one plan
count on from each other. A rate that stays equal from one version of the rate card to the next is one line. Otherwise
each line is what its own price asks for the count at its end, less what it asks for the count at its start.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from billing.pricing.charge import Charge, OfMonth, PricingError, charge
from billing.rating.periods import BillingPeriod, Interval, days_between
from billing.usage.quota_statement import Row, row
from billing.usage.warehouse import Span
from schemas.catalog.prices.price import Share
from schemas.catalog.records import Catalog, Partner, Plan, Rate
from schemas.money import EXACT, MINOR_UNITS
from schemas.windows import to_us

ZERO = Decimal(0)


class Planned(NamedTuple):
    """A line before its usage is known: one rate over one interval of one plan.

    `position` is the rate's place in the version of the rate card in which the line begins. `follows` is the place of the line before
    it that counts the same rate, None for the first; `is_last` says that none follows.
    """

    plan: Plan
    rate: Rate
    interval: Interval
    position: int
    follows: int | None
    is_last: bool


class Line(NamedTuple):
    """One priced line. `usage` is in the meter's field (requests, bytes, µs); `quantity` is the same in the meter's unit.

    `counted_before` is what the lines before it had counted of the month, in the meter's unit: where this line's count begins.
    `share` is how much of the month's time it covers.
    """

    plan: Plan
    rate: Rate
    interval: Interval
    usage: Decimal
    quantity: Decimal
    counted_before: Decimal
    share: Share
    charge: Charge

    @property
    def start(self) -> datetime:
        """The first instant."""
        return self.interval.start

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return self.interval.end


class Draft(NamedTuple):
    """What a partner owes for a period, before it has a number. No line: no invoice."""

    partner: Partner
    period: BillingPeriod
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    quotas: tuple[Row, ...]  # the statement of monthly quotas


class Ask(NamedTuple):
    """What a draft needs to know of the usage, and what stands in its way before anything is counted."""

    partner: Partner
    period: BillingPeriod
    lines: tuple[Planned, ...]
    unrated: tuple[tuple[Plan, Interval, str], ...]  # billable meters that a version of the rate card does not price
    unplanned: tuple[tuple[Interval, str], ...]  # billable meters, for each time without a plan
    problems: tuple[str, ...]

    def spans(self) -> list[Span]:
        """The spans in the order in which `draft` takes their usage."""
        partner_id = self.partner.id
        return [
            *(Span(partner_id, x.rate.meter, x.interval.start, x.interval.end) for x in self.lines if x.rate.meter),
            *(Span(partner_id, q.meter, held.start, held.end) for q in self.period.quotas for held in q.held),
            *(Span(partner_id, meter, part.start, part.end) for _, part, meter in self.unrated),
            *(Span(partner_id, meter, gap.start, gap.end) for gap, meter in self.unplanned),
        ]


def ask(catalog: Catalog, partner: Partner, period: BillingPeriod) -> Ask:
    """Which lines the plans of a period give, and which usage they are asked for."""
    lines: list[Planned] = []
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
                    f"partner {partner.id}: rate card {card.id} has no version for {interval.first_day}; give it one that is valid from then"
                )
                continue
            rates = card.versions[place].rates
            parts.append((interval, rates))
            priced = {rate.meter for rate in rates}
            unrated += [(plan, interval, meter) for meter in billable if meter not in priced]
        lines += _planned(plan, parts, len(lines))
    currencies = {catalog.rate_card(x.plan.rate_card).currency for x in lines}
    if len(currencies) > 1:
        problems.append(
            f"partner {partner.id}: plans of one month are priced in {' and '.join(sorted(currencies))}; use one currency a month"
        )
    unplanned = [(gap, meter) for gap in period.without_plan for meter in billable]
    return Ask(partner, period, tuple(lines), tuple(unrated), tuple(unplanned), tuple(problems))


class _Piece(NamedTuple):
    """A rate over an interval in which it stayed the same, and its place in the version in which it began."""

    interval: Interval
    rate: Rate
    position: int


def _planned(plan: Plan, parts: Sequence[tuple[Interval, Sequence[Rate]]], first: int) -> Iterator[Planned]:
    """The lines of one plan, rate by rate; `first` is the place of the first of them among all lines of the period."""
    chains: list[list[_Piece]] = []
    open_chains: list[list[_Piece]] = []
    for interval, rates in parts:
        continued = _continued([chain[-1].rate for chain in open_chains], rates)
        now: list[list[_Piece]] = []
        for position, (rate, before) in enumerate(zip(rates, continued, strict=True)):
            piece = _Piece(interval, rate, position)
            if before is None:
                chains.append([piece])
                now.append(chains[-1])
                continue
            chain = open_chains[before]
            last = chain[-1]
            if last.interval.end == interval.start and _same_price(last.rate, rate):
                longer = last.interval._replace(end=interval.end, last_day=interval.last_day)
                chain[-1] = _Piece(longer, rate, last.position)
            else:
                chain.append(piece)
            now.append(chain)
        open_chains = now
    place = first
    for chain in chains:
        for number, piece in enumerate(chain):
            follows, is_last = place - 1 if number else None, number == len(chain) - 1
            yield Planned(plan, piece.rate, piece.interval, piece.position, follows, is_last)
            place += 1


def _continued(before: Sequence[Rate], rates: Sequence[Rate]) -> list[int | None]:
    """For each rate the one of the version before that it continues: an equal one, else the next of the same meter."""
    left = list(range(len(before)))
    found: list[int | None] = [None] * len(rates)
    for fits in (_same_price, lambda one, other: one.meter is not None and one.meter == other.meter):
        for place, rate in enumerate(rates):
            if found[place] is None:
                found[place] = next((n for n in left if fits(before[n], rate)), None)
                if found[place] is not None:
                    left.remove(found[place])  # type: ignore[arg-type]
    return found


def _same_price(one: Rate, other: Rate) -> bool:
    """Whether two rates ask the same for the same usage; their texts may differ."""
    return (one.meter, one.price, one.free_units) == (other.meter, other.price, other.free_units)


def draft(catalog: Catalog, asked: Ask, usage: Sequence[Decimal]) -> tuple[Draft | None, list[str]]:
    """Price the usage of `asked.spans()`. A problem means the draft must not be issued; None: the period has no line at all."""
    amounts = iter(usage)
    counted = [next(amounts) if x.rate.meter else ZERO for x in asked.lines]
    used = [[next(amounts) for _ in quota.held] for quota in asked.period.quotas]
    problems = [*asked.problems]
    for plan, interval, meter in asked.unrated:
        if quantity := next(amounts):
            problems.append(
                f"partner {asked.partner.id}: meter {meter} counted {quantity}, but rate card {plan.rate_card} has no rate for it "
                f"from {interval.first_day} on; add one (a price of 0 is a price), or set `billable: false` for the meter"
            )
    problems += _without_plan(catalog, asked, [next(amounts) for _ in asked.unplanned])
    if not asked.lines:
        return None, problems
    currency = catalog.rate_card(asked.lines[0].plan.rate_card).currency
    lines, found = _lines(catalog, asked, counted, MINOR_UNITS[currency])
    with localcontext(EXACT):
        rows = [row(catalog, quota, sum(n, ZERO)) for quota, n in zip(asked.period.quotas, used, strict=True)]
        total = sum((line.charge.amount for line in lines), ZERO)
    made = Draft(asked.partner, asked.period, currency, tuple(lines), total, tuple(rows))
    return (made if lines else None), problems + found


def _lines(catalog: Catalog, asked: Ask, counted: Sequence[Decimal], places: int) -> tuple[list[Line], list[str]]:
    """The priced lines, in time order; what was not used, or was free, is no line."""
    quantities = [
        in_unit(catalog, x.rate.meter, n) if x.rate.meter else Decimal(1)
        for x, n in zip(asked.lines, counted, strict=True)
    ]
    before, totals = _counts(asked.lines, quantities)
    lines: list[tuple[datetime, int, Line]] = []
    problems: list[str] = []
    for x, planned in enumerate(asked.lines):
        rate, share = planned.rate, _share(planned.interval, asked.period)
        try:
            made = charge(
                rate.price,
                quantities[x],
                free_units=rate.free_units,
                places=places,
                of_month=OfMonth(before[x], totals[x], planned.follows is None, planned.is_last, share),
            )
        except PricingError as exc:
            problems.append(f"partner {asked.partner.id}, {rate.meter}: {exc}")
            continue
        if made.parts or (rate.meter and made.billed_quantity):
            line = Line(planned.plan, rate, planned.interval, counted[x], quantities[x], before[x], share, made)
            lines.append((planned.interval.start, planned.position, line))
    return [line for _, _, line in sorted(lines, key=lambda found: found[:2])], problems


def _counts(lines: Sequence[Planned], quantities: Sequence[Decimal]) -> tuple[list[Decimal], list[Decimal]]:
    """For each line the month's count where it begins, and the month's whole count of its rate."""
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


def _without_plan(catalog: Catalog, asked: Ask, counted: Sequence[Decimal]) -> list[str]:
    """Usage at times at which its partner had no plan: nobody could say what it costs."""
    sums: dict[str, Decimal] = {}
    for (_, meter), quantity in zip(asked.unplanned, counted, strict=True):
        sums[meter] = EXACT.add(sums.get(meter, ZERO), quantity)
    found = [f"{in_unit(catalog, m, n)} {catalog.meter(m).unit}" for m, n in sums.items() if n]
    if not found:
        return []
    days = days_between(asked.period.without_plan)
    message = (
        f"partner {asked.partner.id} has {' and '.join(found)} while it has no plan ({days}); "
        f"assign one for that time in the catalog, at a price of 0 if it is free"
    )
    return [message]


def _share(interval: Interval, period: BillingPeriod) -> Share:
    """How much of the period's time an interval covers."""
    return Share(to_us(interval.end) - to_us(interval.start), to_us(period.end) - to_us(period.start))


def in_unit(catalog: Catalog, meter_id: str, counted: Decimal) -> Decimal:
    """What a meter counted, in its unit: an exact division, or decimal.Inexact."""
    return EXACT.divide(counted, catalog.meter(meter_id).divide_by)
