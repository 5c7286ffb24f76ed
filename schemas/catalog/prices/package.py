"""The model `package`: begun packages of a size. Nothing used, nothing to pay."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from schemas.catalog.fields import Amount, Positive
from schemas.catalog.prices.price import MODEL, Part, Portion, Price, Share, begun, counted_on, packages, used


class Package(Price):
    """Begun packages of a size."""

    model: Literal["package"] = Field(description=MODEL)
    package_size: Positive = Field(description="Units in a package.")
    package_price: Amount = Field(description="Price of a package; one that was begun counts whole.")

    def parts(self, portion: Portion) -> list[Part]:
        """The packages that the portion begins: one that an earlier line began is paid there."""
        return counted_on(self._of_month, portion)

    def explanation(self, part: Part, share: Share) -> str:
        """The size of a package."""
        return packages(self.package_size)

    def _of_month(self, quantity: Decimal) -> list[Part]:
        return used("usage", begun(quantity, self.package_size), self.package_price, "packages")
