"""The model `package`: whole packages of a fixed size.

Partial packages are charged in full, and no usage costs nothing, unless the price says otherwise.
"""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.fields import Amount, Positive
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, begun, counted_on, packages, used
from schemas.texts.wording import Wording


class Package(Price):
    """Whole packages of a fixed size."""

    model: Literal["package"] = Field(description=MODEL)
    package_size: Positive = Field(description="Units in one package.")
    package_price: Amount = Field(description="Price of one package. A partial package is charged in full.")
    package_rounding: Literal["up", "down"] = Field(
        default="up", description="Whether a begun package is charged in full (up) or is free until it is full (down)."
    )
    packages_min: int = Field(
        default=0, ge=0, le=10**6, description="Packages that are charged at least, also if nothing was used."
    )

    def parts(self, portion: Portion) -> list[ChargePart]:
        """The packages that start in this portion. A package that started on an earlier line is charged there."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: ChargePart, share: Share, say: Wording) -> str:
        """The size of a package, and how many are charged."""
        text = (
            packages(self.package_size, say)
            if self.package_rounding == "up"
            else say("full_packages", size=self.package_size)
        )
        return text if self.packages_min == 0 else say("at_least_packages", packages=text, least=self.packages_min)

    def _of_month(self, quantity: Decimal) -> list[ChargePart]:
        up = self.package_rounding == "up"
        count = begun(quantity, self.package_size) if up else quantity // self.package_size
        return used("usage", max(count, Decimal(self.packages_min)), self.package_price, "packages")
