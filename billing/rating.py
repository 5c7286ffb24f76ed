"""From usage to draft invoices: pure, exact, with every problem listed instead of a line left out."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from billing import pricing
from billing.periods import Period, Segment, local_day, month, segments
from billing.pricing import Charge, PricingError, Rounding
from billing.quota_statement import Row
from billing.warehouse import Span
from schemas.catalog import Catalog, Flat, Partner, PriceModel, Rate
from schemas.money import EXACT, MINOR_UNITS
from schemas.windows import to_us


class Line(NamedTuple):
    """One priced line. `usage` is in the meter's field (requests, bytes, µs), `quantity` in its unit."""

    segment: Segment
    rate: Rate
    usage: Decimal
    quantity: Decimal
    charge: Charge


class Draft(NamedTuple):
    """What a partner owes for a period, before it has a number. No line: no invoice."""

    partner: Partner
    period: Period
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    quotas: tuple[Row, ...] = ()  # the statement of quotas, by billing.quota_statement


class Ask(NamedTuple):
    """The usage a draft needs: the spans of its metered lines."""

    partner: Partner
    period: Period
    lines: tuple[tuple[Segment, Rate], ...]
    unrated: tuple[tuple[Segment, str], ...]  # billable meters that a segment's rate card does not price

    def spans(self) -> list[Span]:
        """The spans in the order in which `draft` takes their usage."""
        metered = [Span(self.partner.id, r.meter, s.start, s.end) for s, r in self.lines if r.meter]
        return [
            *metered,
            *(Span(self.partner.id, meter, s.start, s.end) for s, meter in self.unrated),
        ]


def ask(catalog: Catalog, partner: Partner, label: str) -> tuple[Ask, list[str]]:
    """Which lines the partner's plans of the month give, and what stands in their way."""
    period = month(label, partner.time_zone)
    lines: list[tuple[Segment, Rate]] = []
    unrated: list[tuple[Segment, str]] = []
    problems = []
    for segment in segments(catalog, partner, period):
        if segment.version is None:
            problems.append(
                f"partner {partner.id}: rate card {segment.plan.rate_card} has no version for {local_day(segment.start, partner.time_zone)}; "
                f"give it one that is valid from then"
            )
            continue
        lines += [(segment, rate) for rate in segment.version.rates]
        priced = {rate.meter for rate in segment.version.rates}
        unrated += [(segment, m.id) for m in catalog.meters if m.billable and m.id not in priced]
    currencies = {catalog.rate_card(s.plan.rate_card).currency for s, _ in lines}
    if len(currencies) > 1:
        problems.append(
            f"partner {partner.id}: plans of one month are priced in {' and '.join(sorted(currencies))}; use one currency a month"
        )
    return Ask(partner, period, tuple(lines), tuple(unrated)), problems


def draft(catalog: Catalog, asked: Ask, usage: Sequence[Decimal]) -> tuple[Draft, list[str]]:
    """Price the usage of `asked.spans()`. A problem means the draft must not be issued."""
    currency = catalog.rate_card(asked.lines[0][0].plan.rate_card).currency
    amounts = iter(usage)
    lines: list[Line] = []
    problems = []
    for segment, rate in asked.lines:
        counted = next(amounts) if rate.meter else Decimal(0)
        quantity = in_unit(catalog, rate.meter, counted) if rate.meter else Decimal(1)
        try:
            price = _for_segment(rate.price, segment, asked.period)
            charge = pricing.charge(
                price, quantity, free_units=rate.free_units, rounding=Rounding(MINOR_UNITS[currency])
            )
        except PricingError as exc:
            problems.append(f"partner {asked.partner.id}, {rate.meter}: {exc}")
            continue
        if charge.parts:
            lines.append(Line(segment, rate, counted, quantity, charge))
    for segment, meter in asked.unrated:
        if counted := next(amounts):
            problems.append(
                f"partner {asked.partner.id}: meter {meter} counted {counted}, but rate card {segment.plan.rate_card} has no rate for it "
                f"from {local_day(segment.start, asked.partner.time_zone)} on; add one (a price of 0 is a price), or set `billable: false` for the meter"
            )
    total = sum((line.charge.amount for line in lines), Decimal(0))
    return Draft(asked.partner, asked.period, currency, tuple(lines), total), problems


def _for_segment(price: PriceModel, segment: Segment, period: Period) -> PriceModel:
    """A flat fee belongs to the month: a segment carries its share of it, by time. What is used is never shared out."""
    if not isinstance(price, Flat):
        return price
    part, whole = to_us(segment.end) - to_us(segment.start), to_us(period.end) - to_us(period.start)
    return Flat(model="flat", amount=pricing.prorated(price.amount, part, whole))


def in_unit(catalog: Catalog, meter_id: str, counted: Decimal) -> Decimal:
    """What a meter counted, in its unit: an exact division, or decimal.Inexact."""
    return EXACT.divide(counted, catalog.meter(meter_id).divide_by)
