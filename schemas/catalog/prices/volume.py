"""The model `volume`: the whole quantity at the price of the tier it reaches, and that tier's flat fee alone."""

from typing import Literal

from pydantic import Field

from schemas.catalog.prices.price import MODEL, Part, Portion, Share
from schemas.catalog.prices.tiers import Tier, Tiered


class Volume(Tiered):
    """The whole quantity at the price of the tier it reaches."""

    tiers: tuple[Tier, ...] = Field(min_length=1, description="The whole quantity is priced by the tier it reaches.")
    model: Literal["volume"] = Field(description=MODEL)

    def parts(self, portion: Portion) -> list[Part]:
        """At the price of the tier that the whole month reaches; the tier's fee is due once, by the last line."""
        number, tier = self.reached(portion.total)
        parts = tier.usage(number, tier.counted(portion.end) - tier.counted(portion.start))
        if portion.is_last and self.fee_is_due(number, portion.total):
            parts += tier.fee(number)
        return parts

    def explanation(self, part: Part, share: Share) -> str:
        """The bounds of the tier, and that it prices all units."""
        return ", ".join([self.reach(part), "whole quantity", *self.kind(part)])
