"""The model `flat`: a fixed amount per month. A line that covers a part of the month is charged its share, by time."""

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from schemas.catalog.fields import Amount
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, prorated
from schemas.texts.wording import Wording
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

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The full fee, and the hours or days billed if the line is charged a share."""
        billed, whole, _ = self._share(share)
        if billed == whole:
            return say("fixed_fee")
        if self.proration == "day":
            return say("fee_for_days", amount=self.amount, part=billed, whole=whole)
        return say("fee_for_hours", amount=self.amount, part=_hours(billed), whole=_hours(whole))

    def _share(self, share: Share) -> Share:
        return share.by_day if self.proration == "day" else share


def _hours(time_us: int) -> Decimal:
    return Decimal(time_us // WINDOW_US) / 4  # bounds are aligned to windows of 15 minutes
