"""Splitting an amount over lines in proportion to their weights, so that the parts sum to the amount."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from billing.pricing.charge import PricingError
from schemas.money import EXACT


def allocated(total: Decimal, weights: Sequence[Decimal], *, places: int) -> list[Decimal]:
    """The part of each weight, in units of 10^-places.

    Each part is rounded towards zero. The units that are left go to the parts that lost most by that, of equal ones to
    the first. A negative total is the total with the other sign, split the same way. Raises PricingError if there is
    nothing to split by, a weight is negative, or the total is no whole number of units.
    """
    unit = Decimal(1).scaleb(-places)
    units, rest = divmod(abs(total), unit)
    whole = sum(map(Fraction, weights), Fraction(0))
    if rest:
        raise PricingError(f"{total} has more than {places} decimals; round it before it is split")
    if any(weight < 0 for weight in weights):
        raise PricingError(f"an amount is not split by negative weights ({', '.join(map(str, weights))})")
    if not units:
        return [Decimal(0)] * len(weights)
    if not whole:
        raise PricingError(f"{total} cannot be split over weights of 0")
    shares = [Fraction(units) * Fraction(weight) / whole for weight in weights]
    parts = [int(share) for share in shares]
    most_first = sorted(range(len(shares)), key=lambda n: parts[n] - shares[n])  # sorted() keeps the order of equals
    for n in most_first[: int(units) - sum(parts)]:
        parts[n] += 1
    return [EXACT.multiply(Decimal(part).copy_sign(total) if part else Decimal(0), unit) for part in parts]


def capped(total: Decimal, weights: Sequence[Decimal]) -> Decimal:
    """The total, but at most the sum of what it is split over: a discount takes no more than there is."""
    return min(total, sum(weights, Decimal(0)))
