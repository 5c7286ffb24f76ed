"""Tiers of the tiered price models. A tier covers (previous `up_to`, own `up_to`], compared as decimals."""

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal

from pydantic import Field, field_validator, model_validator

from schemas.catalog.fields import Amount, CatalogRecord, Positive
from schemas.catalog.prices.price import ZERO, ChargePart, Price, begun, packages, used
from schemas.texts.wording import Wording

UP_TO = "Last unit of this tier. Null in the last tier, which has no upper bound."
FLAT_FEE = "Fee that is charged once when this tier is reached."
_BOUNDS = {  # whether a tier has a lower and an upper bound
    (False, False): "tier_from_first",
    (False, True): "tier_up_to",
    (True, False): "tier_above",
    (True, True): "tier_between",
}
FIRST_TIER_FLAT_AT_ZERO = "Whether the first tier's flat fee is due when nothing was used."


class Tier(CatalogRecord):
    """One tier: units up to and including `up_to`; None means no upper bound."""

    up_to: Positive | None = Field(description=UP_TO)
    unit_price: Amount = Field(default=Decimal(0), description="Price of one unit. Negative for a rebate.")
    flat_fee: Amount = Field(default=Decimal(0), description=FLAT_FEE)
    package_size: Positive | None = Field(
        default=None, description="Units in one package, if this tier is sold in packages instead of single units."
    )
    package_price: Amount | None = Field(default=None, description="Price of one package of this tier.")

    @model_validator(mode="after")
    def _one_price(self) -> "Tier":
        if (self.package_size is None) != (self.package_price is None):
            raise ValueError("a tier sold in packages needs both `package_size` and `package_price`")
        if self.package_size is not None and self.unit_price:
            raise ValueError("a tier is priced by unit or by package; remove `unit_price`, or the two package fields")
        return self

    def counted(self, quantity: Decimal) -> Decimal:
        """The number of units or packages that this tier charges for a quantity. Packages are rounded up."""
        return quantity if self.package_size is None else begun(quantity, self.package_size)

    def usage(self, number: int, counted: Decimal) -> list[ChargePart]:
        """The part for the usage in this tier, which has the number `number`."""
        label = f"tier{number}_usage"
        if self.package_price is None:
            return used(label, counted, self.unit_price, "units", number)
        return used(label, counted, self.package_price, "packages", number)

    def fee(self, number: int) -> list[ChargePart]:
        """The part for this tier's flat fee; empty if it has none."""
        return [ChargePart(f"tier{number}_flat", Decimal(1), self.flat_fee, "fee", number)] if self.flat_fee else []


class Tiered(Price):
    """The base of the tiered models."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    first_tier_flat_at_zero: bool = Field(default=True, description=FIRST_TIER_FLAT_AT_ZERO)
    billing_units: Positive = Field(
        default=Decimal(1),
        description="Units that are sold together: the quantity is rounded up to a multiple, and `unit_price` is for that many.",
    )

    @field_validator("tiers")
    @classmethod
    def _ascending_and_open(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        check_bounds([tier.up_to for tier in tiers])
        return tiers

    @model_validator(mode="after")
    def _bounds_fit_units(self) -> "Tiered":
        if self.billing_units != 1:
            if any(tier.package_size is not None for tier in self.tiers):
                raise ValueError("a price has `billing_units` or tiers in packages; remove one of the two")
            if uneven := [t.up_to for t in self.tiers if t.up_to is not None and t.up_to % self.billing_units]:
                raise ValueError(
                    f"`up_to` {uneven[0]} is no multiple of `billing_units` {self.billing_units}; correct one"
                )
        return self

    def sold(self, quantity: Decimal) -> Decimal:
        """The quantity, rounded up to billing units."""
        return quantity if self.billing_units == 1 else begun(quantity, self.billing_units) * self.billing_units

    def usage(self, number: int, tier: Tier, counted: Decimal) -> list[ChargePart]:
        """The part for what a tier charges: units, sets of `billing_units`, or packages."""
        return tier.usage(number, counted if self.billing_units == 1 else counted / self.billing_units)

    def numbered(self) -> Iterator[tuple[int, Decimal, Tier]]:
        """Each tier in order as (number, lower bound, tier). The first lower bound is 0."""
        below = ZERO
        for number, tier in enumerate(self.tiers, 1):
            yield number, below, tier
            below = tier.up_to or below

    def reached(self, quantity: Decimal) -> tuple[int, Tier]:
        """Number and tier that a quantity falls in; a bound belongs to the tier that it ends."""
        return next(
            (number, tier) for number, _, tier in self.numbered() if tier.up_to is None or quantity <= tier.up_to
        )

    def fee_is_due(self, number: int, quantity: Decimal) -> bool:
        """Whether the fee of a reached tier is due. The first tier's fee may be waived when nothing was used."""
        return bool(quantity) or (number == 1 and self.first_tier_flat_at_zero)

    def reach(self, part: ChargePart, say: Wording) -> str:
        """The bounds of a part's tier, for the reader of the invoice."""
        number, below, tier = self._tier_of(part)
        key = _BOUNDS[number > 1, tier.up_to is not None]
        return say("tier", number=number, bounds=say(key, below=below, top=tier.up_to))

    def kind(self, part: ChargePart, say: Wording) -> list[str]:
        """What a part charges if not single units, for the reader of the invoice."""
        if part.counts == "fee":
            return [say("fixed_fee")]
        size = self._tier_of(part)[2].package_size
        if self.billing_units != 1:
            return [say("begun_sets", size=self.billing_units)]
        return [] if size is None else [packages(size, say)]

    def _tier_of(self, part: ChargePart) -> tuple[int, Decimal, Tier]:
        return next(found for found in self.numbered() if found[0] == part.tier)


def check_bounds(bounds: Sequence[Decimal | None]) -> None:
    """Raises ValueError unless the bounds ascend and only the last is open."""
    if bounds[-1] is not None:
        raise ValueError("the last tier must have no upper bound; set its `up_to` to null")
    if any(b is None for b in bounds[:-1]):
        raise ValueError("only the last tier may have no upper bound; set `up_to` in the others")
    if any(a >= b for a, b in itertools.pairwise(bounds[:-1]) if a is not None and b is not None):
        raise ValueError("`up_to` must increase from tier to tier")
