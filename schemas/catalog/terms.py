"""What a contract says beside plans and rate cards: purchase orders of a partner.

A term holds from `valid_from` (inclusive) to `valid_to` (exclusive; None: no end), in the partner's time zone.
"""

from pydantic import model_validator

from schemas.catalog.fields import CatalogRecord, Code, Currency, Day, Positive


class Dated(CatalogRecord):
    """A term of a contract with its validity."""

    valid_from: Day
    valid_to: Day | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "Dated":
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is not after valid_from {self.valid_from}; correct one of them")
        return self


class PurchaseOrder(Dated):
    """An order of the partner, which invoices name. With an amount, it pays for no more than that."""

    number: Code
    amount: Positive | None = None
    currency: Currency | None = None

    @model_validator(mode="after")
    def _in_a_currency(self) -> "PurchaseOrder":
        if (self.amount is None) != (self.currency is None):
            raise ValueError(
                "`amount` and `currency` belong together; give both, or neither for an order without a limit"
            )
        return self
