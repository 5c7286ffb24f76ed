"""The model `flat`: a fixed amount per month. A line that covers a part of the month is charged its share, by time."""

from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import ClassVar, Literal

from pydantic import Field

from schemas.catalog.fields import Amount
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share
from schemas.money import EXACT, grouped
from schemas.windows import WINDOW_US

_CUT = Context(prec=EXACT.prec, rounding=ROUND_DOWN)
_SHARE_STEP = Decimal("1E-12")  # finer than any currency's minor unit


class Flat(Price):
    """A fixed amount, independent of usage."""

    model: Literal["flat"] = Field(description=MODEL)
    amount: Amount = Field(description="What is charged, whatever was used.")

    needs_meter: ClassVar[bool] = False

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part, independent of usage."""
        return [ChargePart("flat", Decimal(1), prorated(self.amount, portion.share), "fee")]

    def explanation(self, part: ChargePart, share: Share) -> str:
        """The full fee, and the hours billed if the line is charged a share."""
        if share.part_us == share.whole_us:
            return "fixed fee"
        return f"fixed fee of {grouped(self.amount)} for {_hours(share.part_us)} of {_hours(share.whole_us)} hours"


def prorated(amount: Decimal, share: Share) -> Decimal:
    """The share of a fixed amount, truncated to 12 decimals.

    It is truncated, not rounded: rounding the result to a currency's places then gives the same amount as rounding the
    infinite fraction.
    """
    if share.part_us == share.whole_us:
        return amount
    with localcontext(EXACT):
        scaled = amount * share.part_us
    with localcontext(_CUT):
        return (scaled / share.whole_us).quantize(_SHARE_STEP)


def _hours(time_us: int) -> str:
    return grouped(Decimal(time_us // WINDOW_US) / 4)  # bounds are aligned to windows of 15 minutes
