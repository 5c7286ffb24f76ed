"""The model `graduated_percentage`: graduated tiers whose prices are percentages of the quantity."""

from decimal import Decimal
from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator

from schemas.catalog.fields import Amount, CatalogRecord, Positive
from schemas.catalog.prices.graduated import Graduated
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share
from schemas.catalog.prices.tiers import FIRST_TIER_FLAT_AT_ZERO, FLAT_FEE, UP_TO, Tier, check_bounds
from schemas.money import EXACT
from schemas.texts.wording import Wording


class PercentageTier(CatalogRecord):
    """One tier: the part of the quantity up to and including `up_to`; None means no upper bound."""

    up_to: Positive | None = Field(description=UP_TO)
    rate_percent: Amount = Field(default=Decimal(0), description="Percentage of the part of the quantity in this tier.")
    flat_fee: Amount = Field(default=Decimal(0), description=FLAT_FEE)


class GraduatedPercentage(Price):
    """Each part of the quantity at the percentage of the tier it falls in."""

    model: Literal["graduated_percentage"] = Field(description=MODEL)
    tiers: tuple[PercentageTier, ...] = Field(
        min_length=1, description="Tiers; each part of the quantity is charged the percentage of the tier it falls in."
    )
    first_tier_flat_at_zero: bool = Field(default=True, description=FIRST_TIER_FLAT_AT_ZERO)

    @field_validator("tiers")
    @classmethod
    def _ascending_and_open(cls, tiers: tuple[PercentageTier, ...]) -> tuple[PercentageTier, ...]:
        check_bounds([tier.up_to for tier in tiers])
        return tiers

    def parts(self, portion: Portion) -> list[ChargePart]:
        """One part for the usage and one for the fee of each tier that is reached."""
        return self._graduated.parts(portion)

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The bounds of the part's tier, and its percentage."""
        text = self._graduated.explanation(part, share, say)
        if part.counts == "fee" or part.tier is None:
            return text
        percent = self.tiers[part.tier - 1].rate_percent
        return ", ".join([text, say("percent_of_quantity", percent=percent)])

    @cached_property
    def _graduated(self) -> Graduated:
        """The same price by unit."""
        tiers = (
            Tier(up_to=t.up_to, unit_price=t.rate_percent.scaleb(-2, EXACT), flat_fee=t.flat_fee) for t in self.tiers
        )
        return Graduated(model="graduated", tiers=tuple(tiers), first_tier_flat_at_zero=self.first_tier_flat_at_zero)
