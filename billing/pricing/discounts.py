"""Discounts in a list, each on what the ones before it left. None takes more than there is."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Protocol

from schemas.money import EXACT, rounded

ZERO = Decimal(0)


class Deduction(Protocol):
    """A percentage of what is left, or an amount: one of the two."""

    @property
    def percent(self) -> Decimal | None:
        """The percentage, from 0 to 100."""

    @property
    def amount(self) -> Decimal | None:
        """The amount in the currency of what is discounted."""


def taken(
    base: Decimal, discounts: Sequence[Deduction], *, granted: Decimal = ZERO, places: int | None = None
) -> list[Decimal]:
    """What each discount takes from `base`, in their order, none of them negative.

    `granted` is the sum of the amounts that were taken before by the same list, for a base that comes in parts: an
    amount is given once, a percentage each time. With `places`, each discount is rounded. Nothing is taken from a base
    of 0 or less.
    """
    left = max(base, ZERO)
    found: list[Decimal] = []
    with localcontext(EXACT):
        for discount in discounts:
            if discount.percent is not None:
                wanted = left * discount.percent.scaleb(-2)
            else:
                amount = discount.amount or ZERO
                earlier = min(amount, granted)
                granted -= earlier
                wanted = amount - earlier
            take = min(wanted if places is None else rounded(wanted, places), left)
            found.append(take)
            left -= take
    return found
