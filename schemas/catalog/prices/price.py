"""The interface of a price model: what a price charges for a quantity, and how an invoice explains it.

Exact, unrounded.

Quantities are in the meter's unit, after free units are subtracted. The caller sets the decimal context
`schemas.money.EXACT`. billing/pricing/charge.py combines the parts into a charge.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import ClassVar, Literal, NamedTuple

from schemas.catalog.fields import CatalogRecord
from schemas.money import EXACT
from schemas.texts.wording import Wording

ZERO = Decimal(0)
MODEL = "The price model; it determines the other fields."
_CUT = Context(prec=EXACT.prec, rounding=ROUND_DOWN)
_SHARE_DECIMALS = 12  # finer than any currency's minor unit


class Share(NamedTuple):
    """The part of a month that a line covers, in microseconds.

    `days` is the same in local days, if it is known: those of the part and those of the whole.
    """

    part_us: int
    whole_us: int
    days: tuple[int, int] | None = None

    @property
    def by_day(self) -> "Share":
        """The share that counts every day the same, whatever its hours; the share by time if no days are known."""
        return self if self.days is None else Share(*self.days)


def prorated(amount: Decimal, share: Share, *, decimals: int = _SHARE_DECIMALS) -> Decimal:
    """The share of an amount, truncated to 12 decimals.

    It is truncated, not rounded: rounding the result to a currency's places then gives the same amount as rounding the
    infinite fraction.
    """
    if share.part_us == share.whole_us:
        return amount
    with localcontext(EXACT):
        scaled = amount * share.part_us
    with localcontext(_CUT):
        return (scaled / share.whole_us).quantize(Decimal(1).scaleb(-decimals))


class Portion(NamedTuple):
    """The part of a month that one line bills: cumulative quantity from `start` to `end`, and the share of time.

    `total` is the quantity of the whole month. `is_first` is false if an earlier line bills the same rate, `is_last` if
    a later one does.
    """

    start: Decimal
    end: Decimal
    total: Decimal
    is_first: bool
    is_last: bool
    share: Share

    @classmethod
    def month(cls, quantity: Decimal) -> "Portion":
        """A whole month, billed by one line."""
        return cls(ZERO, quantity, quantity, is_first=True, is_last=True, share=Share(1, 1))


class ChargePart(NamedTuple):
    """One component of a charge: `quantity` times `unit_price`. `counts` says what the quantity counts."""

    label: str  # its name for programs, as written on the invoice
    quantity: Decimal
    unit_price: Decimal
    counts: Literal["units", "packages", "fee"]
    tier: int | None = None  # the number of its tier, or of the discount in its list, from 1

    @property
    def amount(self) -> Decimal:
        """The exact amount. Raises decimal.Inexact."""
        return EXACT.multiply(self.quantity, self.unit_price)


class Price(CatalogRecord):
    """A price of one model. Its fields are those of `price` in a rate card; `model` names the model."""

    needs_meter: ClassVar[bool] = True

    @abstractmethod
    def parts(self, portion: Portion) -> list[ChargePart]:
        """The parts that the price charges for a portion of a month. No part has the quantity 0."""

    @abstractmethod
    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """A description of a part for the reader of the invoice, in the language of `say`.

        `share` is the time share of the part's line.
        """


def used(
    label: str, quantity: Decimal, unit_price: Decimal, counts: Literal["units", "packages"], tier: int | None = None
) -> list[ChargePart]:
    """The part for a used quantity; empty if the quantity is 0."""
    return [ChargePart(label, quantity, unit_price, counts, tier)] if quantity else []


def counted_on(parts: Callable[[Decimal], Sequence[ChargePart]], portion: Portion) -> list[ChargePart]:
    """The parts for the quantity at the end of a portion, minus the parts for the quantity at its start.

    `parts` returns the parts for a month's cumulative quantity. As the quantity grows, it may add parts or enlarge
    them, but never remove them. Nothing is subtracted for the first line, so a fee that is due without usage stays on
    it.
    """
    after = parts(portion.end)
    if portion.is_first:
        return list(after)
    before = {part.label: part for part in parts(portion.start)}
    assert before.keys() <= {part.label for part in after}, "a larger quantity lost a part"
    rest = [p._replace(quantity=p.quantity - before[p.label].quantity) if p.label in before else p for p in after]
    return [part for part in rest if part.quantity]


def begun(quantity: Decimal, size: Decimal) -> Decimal:
    """The number of packages of `size` needed for `quantity`, rounded up."""
    return -(-quantity // size) if quantity % size == 0 else quantity // size + 1


def packages(size: Decimal, say: Wording) -> str:
    """The description of packages of a size on an invoice."""
    return say("begun_packages", size=size)
