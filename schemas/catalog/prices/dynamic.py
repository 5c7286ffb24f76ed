"""The model `dynamic`: the quantity is a cost, and the price is the cost times a multiplier."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.fields import NotNegative
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, counted_on, used
from schemas.texts.wording import Wording


class Dynamic(Price):
    """A metered cost, times a multiplier."""

    model: Literal["dynamic"] = Field(description=MODEL)
    multiplier: NotNegative = Field(
        description="Factor by which the metered cost is charged; 1.2 adds a margin of 20 %."
    )

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The multiplier."""
        return say("metered_cost", multiplier=self.multiplier)

    def _of_month(self, quantity: Decimal) -> list[ChargePart]:
        return used("usage", quantity, self.multiplier, "units")
