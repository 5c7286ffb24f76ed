"""Discounts of a meter: each is taken off what the ones before it left, before the limits of the meter's own rates.

The rates of a meter without limits are discounted together, and a discount of them is rounded once. A rate with a
maximum or a minimum is priced again with the discount: what a maximum cuts off anyway is not taken off twice, and a
minimum is not discounted. An amount is taken off the rates without limits first.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from billing.pricing.discounts import taken
from billing.rating.limited import Cost, LimitedRate
from schemas.catalog.rates import LineDiscount
from schemas.catalog.terms import Discount
from schemas.money import EXACT, rounded

ZERO = Decimal(0)


class DiscountTaken(NamedTuple):
    """What a discount took, rounded and exactly, and off what. `limited`: whether limits came after it."""

    amount: Decimal
    exact: Decimal
    base: Decimal
    limited: bool

    def at_most(self, limit: Decimal) -> "DiscountTaken":
        """The same, with no more than `limit` taken."""
        return self if self.amount <= limit else self._replace(amount=limit, exact=limit)


class _Limited:
    """A rate with limits, the discounts that it has had, and what it costs with them."""

    def __init__(self, rate: LimitedRate) -> None:
        self._rate = rate
        self._discounts: list[LineDiscount] = []
        self.cost = rate.cost()

    def take(self, percent: Decimal | None, amount: Decimal) -> Cost:
        """The cost before one more discount, which it has from now on."""
        before = self.cost
        off = LineDiscount(percent=percent) if percent is not None else LineDiscount(amount=amount)
        self._discounts.append(off)
        self.cost = self._rate.cost(self._discounts)
        return before


class DiscountedMeter:
    """What the rates of a meter cost, less the discounts that it was given so far."""

    def __init__(self, unlimited: Decimal, limited: Iterable[LimitedRate], places: int) -> None:
        self._unlimited = unlimited
        self._limited = [_Limited(rate) for rate in limited]
        self._places = places

    def take(self, discount: Discount) -> DiscountTaken:
        """Give one more discount."""
        base = sum((rate.cost.before_limits for rate in self._limited), self._unlimited)
        (exact,) = taken(self._unlimited, [discount])
        amount = rounded(exact, self._places)
        self._unlimited = EXACT.subtract(self._unlimited, amount)
        left = EXACT.subtract(discount.amount or ZERO, exact)
        for rate in self._limited:
            if discount.percent is None and left <= 0:
                break
            before = rate.take(discount.percent, left)
            off = EXACT.subtract(before.amount, rate.cost.amount)
            left = EXACT.subtract(left, EXACT.subtract(rate.cost.granted, before.granted))
            amount, exact = EXACT.add(amount, off), EXACT.add(exact, off)
        return DiscountTaken(amount, exact, base, bool(self._limited))
