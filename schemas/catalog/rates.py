"""The rates of a rate card: a price, and beside it unit conversion, free units, discounts, maximum, minimum, rounding.

docs/pricing.md gives the order of the steps.
"""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from schemas.catalog.fields import CatalogRecord, Id, Note, NotNegative, Positive, Text
from schemas.catalog.prices.registry import PriceModel
from schemas.money import EXACT, RoundingMode

ZERO = Decimal(0)
Percent = Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False)]


class UnitConversion(CatalogRecord):
    """From the meter's unit to the unit that is priced, with a rounding of the month's count if there is one."""

    op: Literal["divide", "multiply"] = Field(description="Whether the count is divided or multiplied by `factor`.")
    factor: Positive = Field(description="What the count is divided or multiplied by.")
    round: Literal["none", "ceiling", "floor", "half_up"] = Field(
        default="none", description="How the month's count is rounded after that; none: not at all."
    )
    places: int = Field(default=0, ge=-6, le=12, description="Decimals that are left by the rounding.")
    unit: Text | None = Field(default=None, description="Name of the unit that is priced; the default is the meter's.")

    @model_validator(mode="after")
    def _exact(self) -> "UnitConversion":
        if self.op == "divide" and self.round == "none" and not _ends(Fraction(self.factor)):
            raise ValueError(
                f"dividing by {self.factor} does not end in decimals; set `round` and `places`, or use a product of powers of 2 and 5"
            )
        return self

    def converted(self, count: Decimal) -> Decimal:
        """A count in the unit that is priced. Raises decimal.Inexact."""
        if self.round == "none":
            return EXACT.divide(count, self.factor) if self.op == "divide" else EXACT.multiply(count, self.factor)
        factor = Fraction(self.factor)
        exact = Fraction(count) / factor if self.op == "divide" else Fraction(count) * factor
        scaled = exact * Fraction(10) ** self.places
        return EXACT.scaleb(EXACT.create_decimal(_whole(scaled, self.round)), -self.places)


class LineDiscount(CatalogRecord):
    """A discount on the rate's line: a percentage of what the discounts before it left, or an amount a month."""

    percent: Percent | None = Field(default=None, description="Percentage that is taken off.")
    amount: Positive | None = Field(
        default=None, description="Amount that is taken off each month, at most what is left."
    )
    description: Note = Field(default="", description="Text on the invoice; the default is the percentage or amount.")

    @model_validator(mode="after")
    def _one_of_two(self) -> "LineDiscount":
        if (self.percent is None) == (self.amount is None):
            raise ValueError("a discount has either `percent` or `amount`; give one of the two")
        return self


class Rounding(CatalogRecord):
    """How the line is rounded to the currency's minor unit."""

    mode: RoundingMode = Field(
        default="half_up",
        description="half_up: half away from zero. half_even, ceiling and floor are for contracts that say so.",
    )
    when: Literal["line", "tier_line"] = Field(
        default="line", description="Whether the line's sum is rounded once, or each of its parts."
    )


class LineTerms(NamedTuple):
    """All of it together; the defaults change nothing. Amounts are for a month, in the currency of the rate card."""

    unit_conversion: UnitConversion | None = None
    free_units: Decimal = ZERO
    discounts: tuple[LineDiscount, ...] = ()
    maximum: Decimal | None = None
    minimum: Decimal | None = None
    prorated: bool = False
    rounding: Rounding = Rounding()


class Rate(CatalogRecord):
    """One rate of a rate card. A flat fee needs no meter."""

    meter: Id | None = None
    description: Note = ""
    price: PriceModel
    free_units: NotNegative = Decimal(0)
    unit_conversion: UnitConversion | None = None
    discounts: tuple[LineDiscount, ...] = ()
    maximum: Positive | None = None
    minimum: Positive | None = None
    prorated: bool = False
    rounding: Rounding = Rounding()

    @property
    def terms(self) -> LineTerms:
        """Everything beside the price."""
        return LineTerms(*(getattr(self, name) for name in LineTerms._fields))

    @model_validator(mode="after")
    def _terms_fit(self) -> "Rate":
        if self.maximum is not None and self.minimum is not None and self.minimum > self.maximum:
            raise ValueError(f"`minimum` {self.minimum} is above `maximum` {self.maximum}; correct one of the two")
        if self.prorated and not self.free_units and self.maximum is None and self.minimum is None:
            raise ValueError(
                "`prorated` needs `free_units`, `minimum` or `maximum`, of which it takes a share; remove it"
            )
        if self.meter is None and (self.unit_conversion is not None or self.free_units):
            raise ValueError("`unit_conversion` and `free_units` need a `meter`; add one, or remove them")
        return self

    @model_validator(mode="after")
    def _meter_fits(self) -> "Rate":
        if self.meter is None and self.price.needs_meter:
            raise ValueError(f"price model {self.price.model} needs a `meter`; add one")
        return self


def _ends(number: Fraction) -> bool:
    """Whether dividing by a number gives finitely many decimals, few enough for exact sums."""
    rest = (1 / number).denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1 and number.numerator.bit_length() <= 100  # noqa: PLR2004


def _whole(number: Fraction, how: str) -> int:
    """A number rounded to an integer: up, down, or half away from zero."""
    if how == "ceiling":
        return math.ceil(number)
    if how == "floor":
        return math.floor(number)
    away = math.floor(abs(number) + Fraction(1, 2))
    return away if number >= 0 else -away
