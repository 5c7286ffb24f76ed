"""Rates with a maximum or a minimum of their own, priced again under further discounts.

A discount of a meter comes before the maximum and the minimum of the meter's rates (docs/contracts.md). So what it
takes is what such a rate costs without it, less what the rate costs with it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from billing.pricing.charge import OfMonth, charge
from schemas.catalog.rates import LineDiscount, Rate
from schemas.money import EXACT

ZERO = Decimal(0)


class LimitedLine(NamedTuple):
    """What one line prices: a rate, a quantity in the meter's unit, and its place in the month."""

    rate: Rate
    quantity: Decimal
    of_month: OfMonth


class Cost(NamedTuple):
    """What all lines of a rate cost: rounded as on the bill, before the limits too. `granted` is what amounts took."""

    amount: Decimal
    before_limits: Decimal
    granted: Decimal


class LimitedRate(NamedTuple):
    """All lines of a rate in a month, in the order of time. At least one of them has a maximum or a minimum."""

    meter: str
    lines: tuple[LimitedLine, ...]
    places: int  # decimals of the currency

    def cost(self, discounts: Sequence[LineDiscount] = ()) -> Cost:
        """What the rate costs with further discounts after its own."""
        amount = before_limits = granted = ZERO
        for rate, quantity, place in self.lines:
            terms = rate.terms._replace(discounts=(*rate.discounts, *discounts))
            line = place._replace(billed=amount, granted=granted)
            made = charge(rate.price, quantity, terms=terms, places=self.places, of_month=line)
            free = charge(
                rate.price,
                quantity,
                terms=terms._replace(maximum=None, minimum=None),
                places=self.places,
                of_month=line,
            )
            amount = EXACT.add(amount, made.amount)
            before_limits = EXACT.add(before_limits, free.amount)
            granted = EXACT.add(granted, made.granted)
        return Cost(amount, before_limits, granted)


def limited_rates(rates: Sequence[Sequence[LimitedLine]], places: int) -> list[LimitedRate]:
    """The metered rates of which a line has a maximum or a minimum. Each of `rates` is all lines of a rate."""
    return [
        LimitedRate(meter, tuple(lines), places)
        for lines in rates
        if (meter := lines[0].rate.meter)
        and any(one.rate.maximum is not None or one.rate.minimum is not None for one in lines)
    ]
