"""The model `graduated`: each tier prices the units that fall in it, and each tier reached adds its flat fee."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Share, counted_on
from schemas.catalog.prices.tiers import Tier, Tiered
from schemas.texts.wording import Wording


class Graduated(Tiered):
    """Each unit at the price of the tier it falls in."""

    tiers: tuple[Tier, ...] = Field(min_length=1, description="Tiers; each unit is priced by the tier it falls in.")
    model: Literal["graduated"] = Field(description=MODEL)

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part for the usage and one for the fee of each tier that is reached."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The bounds of the part's tier."""
        return ", ".join([self.reach(part, say), *self.kind(part, say)])

    def _of_month(self, quantity: Decimal) -> list[ChargePart]:
        parts: list[ChargePart] = []
        quantity = self.sold(quantity)
        for number, below, tier in self.numbered():
            if number > 1 and quantity <= below:
                break
            top = quantity if tier.up_to is None else min(quantity, tier.up_to)
            parts += self.usage(number, tier, tier.counted(top - below))
            if self.fee_is_due(number, quantity):
                parts += tier.fee(number)
        return parts
