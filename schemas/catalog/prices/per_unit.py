"""The model `per_unit`: quantity times price."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.fields import Amount
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, counted_on, used
from schemas.texts.wording import Wording


class PerUnit(Price):
    """Quantity times price."""

    model: Literal["per_unit"] = Field(description=MODEL)
    unit_price: Amount = Field(description="Price of one unit.")

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The same text for every part."""
        return say("per_unit")

    def _of_month(self, quantity: Decimal) -> list[ChargePart]:
        return used("usage", quantity, self.unit_price, "units")
