"""The model `graduated`: each tier's slice at the price of that tier, and the flat fee of every tier that is reached."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.prices.price import MODEL, Part, Portion, Share, counted_on
from schemas.catalog.prices.tiers import Tier, Tiered


class Graduated(Tiered):
    """Each slice of the quantity at the price of the tier it falls in."""

    tiers: tuple[Tier, ...] = Field(
        min_length=1, description="Each slice of the quantity is priced by the tier it falls in."
    )
    model: Literal["graduated"] = Field(description=MODEL)

    def parts(self, portion: Portion) -> list[Part]:
        """A part for each slice and each fee."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: Part, share: Share) -> str:
        """The bounds of the part's tier."""
        return ", ".join([self.reach(part), *self.kind(part)])

    def _of_month(self, quantity: Decimal) -> list[Part]:
        parts: list[Part] = []
        for number, below, tier in self.numbered():
            if number > 1 and quantity <= below:
                break
            top = quantity if tier.up_to is None else min(quantity, tier.up_to)
            parts += tier.usage(number, tier.counted(top - below))
            if self.fee_is_due(number, quantity):
                parts += tier.fee(number)
        return parts
