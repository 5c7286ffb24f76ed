"""The model `volume`: the tier that the total reaches prices the whole quantity.

Only that tier's flat fee is charged.
"""

from typing import Literal

from pydantic import Field

from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Share
from schemas.catalog.prices.tiers import Tier, Tiered
from schemas.texts.wording import Wording


class Volume(Tiered):
    """The whole quantity at the price of the tier it reaches."""

    tiers: tuple[Tier, ...] = Field(
        min_length=1, description="Tiers; the whole quantity is priced by the tier it reaches."
    )
    model: Literal["volume"] = Field(description=MODEL)

    def parts(self, portion: Portion) -> list[ChargePart]:
        """The usage at the price of the tier that the whole month reaches. The last line is charged the tier's fee."""
        number, tier = self.reached(self.sold(portion.total))
        counted = tier.counted(self.sold(portion.end)) - tier.counted(self.sold(portion.start))
        parts = self.usage(number, tier, counted)
        if portion.is_last and self.fee_is_due(number, portion.total):
            parts += tier.fee(number)
        return parts

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The bounds of the tier, and a note that it prices all units."""
        return ", ".join([self.reach(part, say), say("whole_quantity"), *self.kind(part, say)])
