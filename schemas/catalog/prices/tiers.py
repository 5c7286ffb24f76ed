"""Tiers, for the models that have them: a tier covers (previous `up_to`, own `up_to`], compared as decimals."""

import itertools
from collections.abc import Iterator
from decimal import Decimal

from pydantic import Field, field_validator, model_validator

from schemas.catalog.fields import Amount, Positive, Record
from schemas.catalog.prices.price import ZERO, Part, Price, begun, packages, used
from schemas.money import grouped


class Tier(Record):
    """One tier: units up to and including `up_to` (None: no bound)."""

    up_to: Positive | None = Field(description="Last unit of this tier; null for the last tier, which is open.")
    unit_price: Amount = Field(default=Decimal(0), description="Price of one unit; negative for a rebate.")
    flat_fee: Amount = Field(default=Decimal(0), description="Charged once when this tier is reached.")
    package_size: Positive | None = Field(
        default=None, description="Sell this tier in packages of so many units instead of single ones."
    )
    package_price: Amount | None = Field(default=None, description="Price of a package of this tier.")

    @model_validator(mode="after")
    def _one_price(self) -> "Tier":
        if (self.package_size is None) != (self.package_price is None):
            raise ValueError("a tier in packages needs both `package_size` and `package_price`")
        if self.package_size is not None and self.unit_price:
            raise ValueError("a tier is priced by unit or by package: remove `unit_price`, or the package")
        return self

    def counted(self, quantity: Decimal) -> Decimal:
        """How much of what this tier sells it takes to hold a quantity: as many units, or the packages that are begun."""
        return quantity if self.package_size is None else begun(quantity, self.package_size)

    def usage(self, number: int, counted: Decimal) -> list[Part]:
        """The part for what is sold of this tier, which has the number `number`."""
        label = f"tier{number}_usage"
        if self.package_price is None:
            return used(label, counted, self.unit_price, "units", number)
        return used(label, counted, self.package_price, "packages", number)

    def fee(self, number: int) -> list[Part]:
        """The part for reaching this tier."""
        return [Part(f"tier{number}_flat", Decimal(1), self.flat_fee, "fee", number)] if self.flat_fee else []


class Tiered(Price):
    """What the models with tiers share."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    first_tier_flat_at_zero: bool = Field(
        default=True, description="Whether the first tier's flat fee is due when nothing was used."
    )

    @field_validator("tiers")
    @classmethod
    def _ascending_and_open(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if tiers[-1].up_to is not None:
            raise ValueError("the last tier must be open: set its `up_to` to null")
        bounds = [t.up_to for t in tiers[:-1]]
        if any(b is None for b in bounds):
            raise ValueError("only the last tier may be open")
        if any(a >= b for a, b in itertools.pairwise(bounds) if a is not None and b is not None):
            raise ValueError("`up_to` must grow from tier to tier")
        return tiers

    def numbered(self) -> Iterator[tuple[int, Decimal, Tier]]:
        """Number, lower bound (0 for the first) and tier, in order."""
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
        """Whether the fee of a tier that a quantity reaches is due: of the first it may be left out when nothing was used."""
        return bool(quantity) or (number == 1 and self.first_tier_flat_at_zero)

    def reach(self, part: Part) -> str:
        """The bounds of the tier that a part is of, for a reader of the invoice."""
        number, below, tier = self._tier_of(part)
        said = [
            f"above {grouped(below)}" if number > 1 else "",
            f"up to {grouped(tier.up_to)}" if tier.up_to is not None else "",
        ]
        return f"tier {number}: {' '.join(s for s in said if s) or 'from the first unit'}"

    def kind(self, part: Part) -> list[str]:
        """What a part is besides usage by the unit, for a reader of the invoice."""
        if part.counts == "fee":
            return ["fixed fee"]
        size = self._tier_of(part)[2].package_size
        return [] if size is None else [packages(size)]

    def _tier_of(self, part: Part) -> tuple[int, Decimal, Tier]:
        return next(found for found in self.numbered() if found[0] == part.tier)
