"""The model `flat`: an amount for a month. A line that covers a part of the month bears its share of it, by time."""

from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import ClassVar, Literal

from pydantic import Field

from schemas.catalog.fields import Amount
from schemas.catalog.prices.price import MODEL, Part, Portion, Price, Share
from schemas.money import EXACT, grouped
from schemas.windows import WINDOW_US

_CUT = Context(prec=EXACT.prec, rounding=ROUND_DOWN)
_SHARE_STEP = Decimal("1E-12")  # finer than any currency's minor unit


class Flat(Price):
    """The same amount whatever was used."""

    model: Literal["flat"] = Field(description=MODEL)
    amount: Amount = Field(description="What is charged, whatever was used.")

    needs_meter: ClassVar[bool] = False

    def parts(self, portion: Portion) -> list[Part]:
        """One, whatever was used."""
        return [Part("flat", Decimal(1), prorated(self.amount, portion.share), "fee")]

    def explanation(self, part: Part, share: Share) -> str:
        """The whole fee and the hours that are billed, where a line bears a share."""
        if share.part_us == share.whole_us:
            return "fixed fee"
        return f"fixed fee of {grouped(self.amount)} for {_hours(share.part_us)} of {_hours(share.whole_us)} hours"


def prorated(amount: Decimal, share: Share) -> Decimal:
    """The share of a fixed amount, cut after 12 decimals.

    Cut and not rounded: rounded to a currency's places it then gives what rounding the endless fraction would.
    """
    if share.part_us == share.whole_us:
        return amount
    with localcontext(EXACT):
        scaled = amount * share.part_us
    with localcontext(_CUT):
        return (scaled / share.whole_us).quantize(_SHARE_STEP)


def _hours(time_us: int) -> str:
    return grouped(Decimal(time_us // WINDOW_US) / 4)  # bounds lie on quarters of an hour, which windows are
