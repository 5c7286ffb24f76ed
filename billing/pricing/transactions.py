"""Single transactions at a price: an allowance in their order, a fixed fee for each, and the least and the most of one.

A rate card prices sums, so this is for single amounts that are known as such: cases, and credits for one transaction.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from schemas.catalog.prices.price import ZERO, Portion, Price
from schemas.money import EXACT


class PerTransaction(NamedTuple):
    """What each transaction pays beside its price, and how many or how much of them is free. None: no such bound."""

    fixed_fee: Decimal = ZERO
    free_events: int | None = None
    free_amount: Decimal | None = None
    least: Decimal | None = None
    most: Decimal | None = None


class Transaction(NamedTuple):
    """What one transaction costs: by its price, by its fixed fee, and together within the least and the most."""

    priced: Decimal
    fixed: Decimal
    amount: Decimal


def transactions(price: Price, values: Sequence[Decimal], terms: PerTransaction) -> Iterator[Transaction]:
    """The transactions in their order.

    The allowance ends with the transaction at which `free_events` or `free_amount` runs out, whichever is first. A
    transaction that is only partly free pays for the rest, and its whole fixed fee. A free one pays nothing, not even
    the least.
    """
    before = ZERO
    with localcontext(EXACT):
        for number, value in enumerate(values, 1):
            free = _free(number, value, before, terms)
            before += value
            if free is not None and free == value:
                yield Transaction(ZERO, ZERO, ZERO)
                continue
            parts = price.parts(Portion.month(value - (free or ZERO)))
            priced = sum((part.amount for part in parts), ZERO)
            amount = priced + terms.fixed_fee
            if terms.least is not None:
                amount = max(amount, terms.least)
            if terms.most is not None:
                amount = min(amount, terms.most)
            yield Transaction(priced, terms.fixed_fee, amount)


def _free(number: int, value: Decimal, before: Decimal, terms: PerTransaction) -> Decimal | None:
    """How much of a transaction is within the allowance; None if the allowance is used up, or there is none."""
    if terms.free_events is None and terms.free_amount is None:
        return None
    if terms.free_events is not None and number > terms.free_events:
        return None
    if terms.free_amount is None:
        return value
    return min(value, terms.free_amount - before) if before < terms.free_amount else None
