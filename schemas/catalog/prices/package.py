"""The model `package`: whole packages of a fixed size. Partial packages are charged in full; no usage costs nothing."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.fields import Amount, Positive
from schemas.catalog.prices.price import MODEL, ChargePart, Portion, Price, Share, begun, counted_on, packages, used


class Package(Price):
    """Whole packages of a fixed size."""

    model: Literal["package"] = Field(description=MODEL)
    package_size: Positive = Field(description="Units in one package.")
    package_price: Amount = Field(description="Price of one package. A partial package is charged in full.")

    def parts(self, portion: Portion) -> list[ChargePart]:
        """The packages that start in this portion. A package that started on an earlier line is charged there."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: ChargePart, share: Share) -> str:
        """The size of a package."""
        return packages(self.package_size)

    def _of_month(self, quantity: Decimal) -> list[ChargePart]:
        return used("usage", begun(quantity, self.package_size), self.package_price, "packages")
