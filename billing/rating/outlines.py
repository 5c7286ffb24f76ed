"""Outlines of drafts: the lines of a billing period by its plans and rate cards, and the usage to look up for them.

How a period is split into lines (docs/pricing.md, "When a contract changes inside a month"): the parts of a period
under one plan share one running count. A rate that is equal in two consecutive versions of the rate card is one line. A
meter whose usage does not add up has one line, at the last price.

Most partners of a catalog have equal contracts, and these share periods and lines.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from billing.periods import BillingPeriod, Interval, billing_period
from billing.pricing.charge import Charge, OfMonth, PricingError, charge
from billing.rating.terms import own_prices
from billing.usage.quota_statement import held_quotas
from billing.usage.warehouse import Span
from schemas.catalog.prices.price import Share
from schemas.catalog.rates import LineTerms, Rate
from schemas.catalog.records import Catalog, Partner, Plan
from schemas.grants import Grants
from schemas.money import MINOR_UNITS
from schemas.windows import to_us


class LineOutline(NamedTuple):
    """A line whose usage is not known yet: one rate during one interval of one plan.

    `position` is the index of the rate among the rates with which the line starts. `follows` is the
    index of the previous line that continues the same count, or None for the first. `is_last` is true if no line
    continues the count. `share` is the share of the period's time that the line covers, and `span` the one that all
    lines of the count cover together. `fee` is the charge if no usage and no other line changes it: of a rate without a
    meter that is the same all the time.
    """

    plan: Plan
    rate: Rate
    terms: LineTerms  # of the rate
    interval: Interval
    position: int
    follows: int | None
    is_last: bool
    share: Share
    span: Share
    fee: Charge | None


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


class MonthPeriods:
    """The billing periods of a month with their quotas. Partners with equal contracts share them but for their ids."""

    def __init__(self, catalog: Catalog, label: str, grants: Grants) -> None:
        self._catalog, self._label, self._grants = catalog, label, grants
        self._granted = {grant.partner_id for grant in grants.all}
        self._known: dict[Hashable, BillingPeriod | None] = {}

    def of(self, partner: Partner, settled_until: datetime | None) -> BillingPeriod | None:
        """What `billing.periods.billing_period` gives, with the monthly quotas. Raises BadPeriod."""
        if partner.prices or partner.id in self._granted:
            return self._made(partner, settled_until)
        key = (partner.plans, partner.time_zone, "days" in partner.appendices, settled_until)
        if key not in self._known:
            self._known[key] = self._made(partner, settled_until)
        shared = self._known[key]
        return None if shared is None else shared._replace(partner_id=partner.id)

    def _made(self, partner: Partner, settled_until: datetime | None) -> BillingPeriod | None:
        period = billing_period(self._catalog, partner, self._label, settled_until)
        if period is None:
            return None
        return period._replace(quotas=held_quotas(self._catalog, partner, period, self._grants))


def outlines(catalog: Catalog, periods: Iterable[BillingPeriod]) -> list[DraftOutline]:
    """The outline of each period. Those of partners without own prices share their lines if their periods are equal."""
    known: dict[Hashable, DraftOutline] = {}
    found: list[DraftOutline] = []
    for period in periods:
        partner = catalog.known_partner(period.partner_id)
        # Equal instants of two zones may have different offsets, so the zone is part of the key.
        key = (period.interval, period.stays, period.without_plan, partner.time_zone)
        shared = None if partner.prices else known.get(key)
        if shared is None:
            made = outline(catalog, partner, period)
            if not partner.prices and not made.problems:  # which name the partner
                known[key] = made
            found.append(made)
        else:
            found.append(shared._replace(partner=partner, period=period))
    return found


def outline(catalog: Catalog, partner: Partner, period: BillingPeriod) -> DraftOutline:
    """The lines of a period by its plans and rate cards, and the usage to look up for them."""
    lines: list[_Planned] = []
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
        lines += _planned(plan, parts, len(lines), additive)
    currencies = {catalog.rate_card(x.plan.rate_card).currency for x in lines}
    if len(currencies) > 1:
        problems.append(
            f"partner {partner.id}: plans of one month are priced in {' and '.join(sorted(currencies))}; use one currency per month"
        )
    unplanned = [(gap, meter) for gap in period.without_plan for meter in billable]
    places = MINOR_UNITS[currencies.pop()] if len(currencies) == 1 else None
    outlined = tuple(_outlined(lines, period, places))
    return DraftOutline(partner, period, outlined, tuple(unrated), tuple(unplanned), tuple(problems))


class _Planned(NamedTuple):
    """A line without its shares of the period."""

    plan: Plan
    piece: "_RateInterval"
    follows: int | None
    is_last: bool


class _RateInterval(NamedTuple):
    """An interval in which a rate did not change.

    `position` is its index among the rates with which the interval starts.
    """

    interval: Interval
    rate: Rate
    position: int


def _planned(
    plan: Plan, parts: Sequence[tuple[Interval, Sequence[Rate]]], first: int, additive: Collection[str]
) -> Iterator[_Planned]:
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
            yield _Planned(plan, piece, follows, is_last)
            place += 1
    for piece in _undivided(parts, additive):
        yield _Planned(plan, piece, None, is_last=True)


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


def _outlined(lines: Sequence[_Planned], period: BillingPeriod, places: int | None) -> Iterator[LineOutline]:
    """The lines with their shares of the period. `places`: decimals of the one currency, if there is one."""
    shares = [_share(line.piece.interval, period) for line in lines]
    spans = list(shares)
    for place, line in enumerate(lines):
        if line.follows is not None:
            spans[place] = spans[place]._replace(part_us=spans[place].part_us + spans[line.follows].part_us)
    for place in reversed(range(len(lines))):
        last = lines[place].follows
        if last is not None:
            spans[last] = spans[place]
    for (plan, piece, follows, is_last), share, span in zip(lines, shares, spans, strict=True):
        rate, terms = piece.rate, piece.rate.terms
        is_fixed = rate.meter is None and follows is None and is_last and places is not None
        fee = _fee(rate, places, share, span) if is_fixed else None
        yield LineOutline(plan, rate, terms, piece.interval, piece.position, follows, is_last, share, span, fee)


def _fee(rate: Rate, places: int | None, share: Share, span: Share) -> Charge | None:
    """What a rate without a meter costs. None if it has no exact amount, which is a problem of the draft."""
    one = Decimal(1)
    whole = OfMonth(Decimal(0), one, is_first=True, is_last=True, share=share, span=span)
    try:
        return charge(rate.price, one, terms=rate.terms, places=places, of_month=whole)
    except PricingError:
        return None


def _share(interval: Interval, period: BillingPeriod) -> Share:
    """The share of the period's time that an interval covers."""
    return Share(
        to_us(interval.end) - to_us(interval.start),
        to_us(period.end) - to_us(period.start),
        (_days(interval), _days(period.interval)),
    )


def _days(interval: Interval) -> int:
    return (interval.last_day - interval.first_day).days + 1
