"""From usage to drafts by rules 1: each segment of the month is priced on its own."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from billing.invoicing.rules1 import pricing
from billing.invoicing.rules1.periods import Period, Segment, month, segments
from billing.invoicing.rules1.pricing import Charge, Rounding
from billing.usage.warehouse import Span
from schemas.catalog.prices.flat import Flat
from schemas.catalog.prices.registry import PriceModel
from schemas.catalog.rates import Rate
from schemas.catalog.records import Catalog, Partner
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
    """What a partner owes for a period. No line: no invoice."""

    partner: Partner
    period: Period
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    quotas: tuple[tuple[str, Decimal, Decimal], ...]  # (meter, used, limit), both in the meter's unit


class Ask(NamedTuple):
    """The usage a draft needs: the spans of its metered lines and quotas."""

    partner: Partner
    period: Period
    lines: tuple[tuple[Segment, Rate], ...]
    quotas: tuple[tuple[str, Decimal], ...]

    def spans(self) -> list[Span]:
        """The spans in the order in which `draft` takes their usage."""
        metered = [Span(self.partner.id, r.meter, s.start, s.end) for s, r in self.lines if r.meter]
        return [*metered, *(Span(self.partner.id, meter, *self.period) for meter, _ in self.quotas)]


def ask(catalog: Catalog, partner: Partner, label: str) -> Ask:
    """Which lines the partner's plans of the month give."""
    period = month(label, partner.time_zone)
    lines: list[tuple[Segment, Rate]] = []
    quotas: dict[str, Decimal] = {}
    for segment in segments(catalog, partner, period):
        if segment.version is not None:
            lines += [(segment, rate) for rate in segment.version.rates]
            quotas |= {q.meter: q.limit for q in segment.plan.quotas if q.period == "MONTH"}
    return Ask(partner, period, tuple(lines), tuple(quotas.items()))


def draft(catalog: Catalog, asked: Ask, usage: Sequence[Decimal]) -> Draft:
    """Price the usage of `asked.spans()`. Raises PricingError, which the close had ruled out."""
    currency = catalog.rate_card(asked.lines[0][0].plan.rate_card).currency
    amounts = iter(usage)
    lines: list[Line] = []
    for segment, rate in asked.lines:
        counted = next(amounts) if rate.meter else Decimal(0)
        quantity = _in_unit(catalog, rate.meter, counted) if rate.meter else Decimal(1)
        price = _for_segment(rate.price, segment, asked.period)
        charge = pricing.charge(price, quantity, free_units=rate.free_units, rounding=Rounding(MINOR_UNITS[currency]))
        if charge.parts:
            lines.append(Line(segment, rate, counted, quantity, charge))
    quotas = tuple((meter, _in_unit(catalog, meter, next(amounts)), limit) for meter, limit in asked.quotas)
    total = sum((line.charge.amount for line in lines), Decimal(0))
    return Draft(asked.partner, asked.period, currency, tuple(lines), total, quotas)


def _for_segment(price: PriceModel, segment: Segment, period: Period) -> PriceModel:
    """A flat fee belongs to the month: a segment carries its share of it, by time."""
    if not isinstance(price, Flat):
        return price
    part, whole = to_us(segment.end) - to_us(segment.start), to_us(period.end) - to_us(period.start)
    return Flat(model="flat", amount=pricing.prorated(price.amount, part, whole))


def _in_unit(catalog: Catalog, meter_id: str, counted: Decimal) -> Decimal:
    return EXACT.divide(counted, catalog.meter(meter_id).divide_by)
