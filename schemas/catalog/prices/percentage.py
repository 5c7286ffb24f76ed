"""The model `percentage`: a percentage of the quantity, which is an amount of money or is priced like one."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.fields import Amount
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, counted_on, used
from schemas.money import EXACT
from schemas.texts.wording import Wording


class Percentage(Price):
    """A percentage of the quantity."""

    model: Literal["percentage"] = Field(description=MODEL)
    rate_percent: Amount = Field(description="Percentage of the quantity that is charged.")

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The percentage."""
        return say("percent_of_quantity", percent=self.rate_percent)

    def _of_month(self, quantity: Decimal) -> list[ChargePart]:
        return used("percentage", quantity, self.rate_percent.scaleb(-2, EXACT), "units")
