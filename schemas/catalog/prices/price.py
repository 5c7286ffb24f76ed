"""What a price model is: what a price asks for a quantity, and how an invoice explains it. Pure, exact, never rounded.

Quantities are in the meter's unit, after free units. They are computed with in the context `schemas.money.EXACT`, which
the caller sets. How a charge is made of the parts: billing/pricing/charge.py.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple

from schemas.catalog.fields import Record
from schemas.money import EXACT, grouped

ZERO = Decimal(0)
MODEL = "Which price model this is; it decides the other fields."


class Share(NamedTuple):
    """How much of a month's time a line covers, both in microseconds."""

    part_us: int
    whole_us: int


class Portion(NamedTuple):
    """What one line bills of a month: the month's count of its rate from `start` to `end`, and its share of the time.

    `total` is the count of the whole month. `is_first` and `is_last` say whether another line counts the same rate before
    or after this one.
    """

    start: Decimal
    end: Decimal
    total: Decimal
    is_first: bool
    is_last: bool
    share: Share

    @classmethod
    def month(cls, quantity: Decimal) -> "Portion":
        """A month that one line bills alone."""
        return cls(ZERO, quantity, quantity, is_first=True, is_last=True, share=Share(1, 1))


class Part(NamedTuple):
    """One addend of a charge: `quantity` times `unit_price`. `counts` says what the quantity is a number of."""

    label: str  # the name that programs know it by: a field of the invoice
    quantity: Decimal
    unit_price: Decimal
    counts: Literal["units", "packages", "fee"]
    tier: int | None = None  # the number of the tier it is of, from 1

    @property
    def amount(self) -> Decimal:
        """Exact, or decimal.Inexact."""
        return EXACT.multiply(self.quantity, self.unit_price)


class Price(Record):
    """A price of one model. The fields of the record are those of a rate card's `price`; `model` names the model."""

    needs_meter: ClassVar[bool] = True

    @abstractmethod
    def parts(self, portion: Portion) -> list[Part]:
        """What the price asks for a portion of a month. No part has the quantity 0."""

    @abstractmethod
    def explanation(self, part: Part, share: Share) -> str:
        """What a part is, for a reader of the invoice; `share` is that of the part's line."""


def used(
    label: str, quantity: Decimal, unit_price: Decimal, counts: Literal["units", "packages"], tier: int | None = None
) -> list[Part]:
    """The part for what was used; none for nothing."""
    return [Part(label, quantity, unit_price, counts, tier)] if quantity else []


def counted_on(parts: Callable[[Decimal], Sequence[Part]], portion: Portion) -> list[Part]:
    """What a price asks for the count at the end of a portion, less what it asks for the count at its start.

    `parts` gives those of a month's count. For a price that only adds parts, or adds to them, as the count grows. From the first line nothing
    is subtracted, so that a fee for nothing used stays.
    """
    after = parts(portion.end)
    if portion.is_first:
        return list(after)
    before = {part.label: part for part in parts(portion.start)}
    assert before.keys() <= {part.label for part in after}, "a part that a greater count no longer has"
    rest = [p._replace(quantity=p.quantity - before[p.label].quantity) if p.label in before else p for p in after]
    return [part for part in rest if part.quantity]


def begun(quantity: Decimal, size: Decimal) -> Decimal:
    """How many packages of `size` it takes to hold `quantity`."""
    return -(-quantity // size) if quantity % size == 0 else quantity // size + 1


def packages(size: Decimal) -> str:
    """What packages of a size are called on an invoice."""
    return f"packages of {grouped(size)}, begun packages count"
