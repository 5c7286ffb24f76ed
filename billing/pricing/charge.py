"""A charge: a priced line. Free units come off first, the price gives the parts, their exact sum is rounded once.

The order of the steps is that of docs/pricing.md. Quantities are in the meter's unit, already converted.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, Inexact, InvalidOperation, Rounded, localcontext
from typing import NamedTuple

from schemas.catalog.prices.price import ZERO, ChargePart, Portion, Price, Share
from schemas.money import EXACT, rounded


class PricingError(Exception):
    """The price does not say what this quantity costs. Correct the rate card or the usage; never bill it at 0."""


class Charge(NamedTuple):
    """A priced line: what was billed, its addends, their exact sum, and the amount after rounding."""

    billed_quantity: Decimal
    parts: tuple[ChargePart, ...]
    exact: Decimal
    amount: Decimal


class OfMonth(NamedTuple):
    """The place of a line in the month of its rate: the counts before it and at the end, and its share of the time."""

    before: Decimal
    total: Decimal
    is_first: bool
    is_last: bool
    share: Share


def charge(
    price: Price,
    quantity: Decimal,
    *,
    free_units: Decimal = ZERO,
    places: int | None,
    of_month: OfMonth | None = None,
) -> Charge:
    """What `quantity` costs, to `places` decimals (None: exactly).

    `of_month`: of a part of a month; without it the quantity is the month's.

    Raises PricingError for a negative quantity, or one that has no exact amount.
    """
    return charged(price.parts, quantity, free_units=free_units, places=places, of_month=of_month)


def charged(
    parts: Callable[[Portion], Sequence[ChargePart]],
    quantity: Decimal,
    *,
    free_units: Decimal = ZERO,
    places: int | None,
    of_month: OfMonth | None = None,
) -> Charge:
    """The steps around anything that gives the parts for a portion of a month."""
    if quantity < 0:
        raise PricingError(f"quantity {quantity} is negative; a correction is a credit note, not usage")
    line = of_month or OfMonth(ZERO, quantity, is_first=True, is_last=True, share=Share(1, 1))
    try:
        with localcontext(EXACT):
            start, end, total = (
                max(count - free_units, ZERO) for count in (line.before, line.before + quantity, line.total)
            )
            found = tuple(parts(Portion(start, end, total, line.is_first, line.is_last, line.share)))
            billed = end - start
            exact = sum((part.amount for part in found), ZERO)
            amount = exact if places is None else rounded(exact, places)
    except (Inexact, Rounded, InvalidOperation) as exc:
        raise PricingError(
            f"quantity {quantity} at this price has no exact amount of at most {EXACT.prec} digits; give the price fewer decimals"
        ) from exc
    return Charge(billed, found, exact, amount)
