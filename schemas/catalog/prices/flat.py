"""The model `flat`: a fixed amount per month. A line that covers a part of the month is charged its share, by time."""

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from schemas.catalog.fields import Amount
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, prorated
from schemas.money import grouped
from schemas.windows import WINDOW_US


class Flat(Price):
    """A fixed amount, independent of usage."""

    model: Literal["flat"] = Field(description=MODEL)
    amount: Amount = Field(description="What is charged, whatever was used.")
    proration: Literal["time", "day"] = Field(
        default="time", description="Whether a part of a month pays its share by time, or by days that count the same."
    )

    needs_meter: ClassVar[bool] = False

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part, independent of usage."""
        return [ChargePart("flat", Decimal(1), prorated(self.amount, self._share(portion.share)), "fee")]

    def explanation(self, part: ChargePart, share: Share) -> str:
        """The full fee, and the hours or days billed if the line is charged a share."""
        billed, whole, _ = self._share(share)
        if billed == whole:
            return "fixed fee"
        if self.proration == "day":
            return f"fixed fee of {grouped(self.amount)} for {billed} of {whole} days"
        return f"fixed fee of {grouped(self.amount)} for {_hours(billed)} of {_hours(whole)} hours"

    def _share(self, share: Share) -> Share:
        return share.by_day if self.proration == "day" else share


def _hours(time_us: int) -> str:
    return grouped(Decimal(time_us // WINDOW_US) / 4)  # bounds are aligned to windows of 15 minutes
