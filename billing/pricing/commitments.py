"""Amounts that a contract promises: the least for a term, the price beyond it, and credits for time not used."""

from decimal import Decimal, localcontext
from typing import NamedTuple

from schemas.catalog.prices.price import Share, prorated
from schemas.money import EXACT, rounded

ZERO = Decimal(0)


def true_up(minimum: Decimal, billed: Decimal) -> Decimal:
    """What lacks to the minimum; 0 if it is reached."""
    return max(EXACT.subtract(minimum, billed), ZERO)


class Committed(NamedTuple):
    """What a term costs under a commitment: the usage as priced, and what the commitment adds to it."""

    used: Decimal
    top_up: Decimal  # what lacks to the commitment, if the contract trues it up
    surcharge: Decimal  # what the overage costs beyond its price; negative if overage is cheaper

    @property
    def amount(self) -> Decimal:
        """The sum."""
        with localcontext(EXACT):
            return self.used + self.top_up + self.surcharge


def committed(
    used: Decimal, commitment: Decimal, *, overage_factor: Decimal = Decimal(1), trues_up: bool = True
) -> Committed:
    """`used` is the priced usage of the term. What exceeds the commitment costs `overage_factor` times its price."""
    with localcontext(EXACT):
        over = max(used - commitment, ZERO)
        return Committed(used, true_up(commitment, used) if trues_up else ZERO, over * (overage_factor - 1))


def burn_down(due: Decimal, balances: list[Decimal]) -> list[Decimal]:
    """What each balance pays of `due`, in their order. They never pay more than is due, and never for a credit."""
    left = max(due, ZERO)
    paid: list[Decimal] = []
    for balance in balances:
        paid.append(min(max(balance, ZERO), left))
        left = EXACT.subtract(left, paid[-1])
    return paid


def credit_for(unused: Decimal, *, paid: Decimal, credited: Decimal) -> Decimal:
    """What may be credited for `unused`: at most what was paid, less what was credited before."""
    return max(min(unused, EXACT.subtract(paid, credited)), ZERO)


def plan_change(old: Decimal, new: Decimal, share: Share, *, new_share: Share, places: int) -> tuple[Decimal, Decimal]:
    """The credit for the rest of the old fee and the charge for the rest of the new one, each rounded."""
    return rounded(-prorated(old, share), places), rounded(prorated(new, new_share), places)
