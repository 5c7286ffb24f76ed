"""What a contract says beside plans and rate cards: discounts, limits of a month, commitments, credits, orders.

A term holds from `valid_from` (inclusive) to `valid_to` (exclusive; None: no end), in the partner's time zone.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from schemas.catalog.fields import CatalogRecord, Code, Currency, Day, Id, NotNegative, Positive, Text

TERM_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class Dated(CatalogRecord):
    """A term of a contract with its validity."""

    valid_from: Day = Field(
        description="First day, from midnight in the partner's time zone. The 1st of a month where the term is about whole months."
    )
    valid_to: Day | None = Field(default=None, description="Day after the last day. Without it, there is no end.")

    @model_validator(mode="after")
    def _not_empty(self) -> "Dated":
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is not after valid_from {self.valid_from}; correct one of them")
        return self

    @property
    def bounds(self) -> tuple[date, ...]:
        """The days at whose midnight the term begins or ends."""
        return (self.valid_from,) if self.valid_to is None else (self.valid_from, self.valid_to)

    def holds_on(self, day: date) -> bool:
        """Whether the term holds on a local day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


class Monthly(Dated):
    """A term that holds for whole months, because it is about the amount of a month."""

    @model_validator(mode="after")
    def _whole_months(self) -> "Monthly":
        for name in ("valid_from", "valid_to"):
            day: date | None = getattr(self, name)
            if day is not None and day.day != 1:
                raise ValueError(
                    f"{name} {day} is not the first day of a month, but the term is about whole months; write {day:%Y-%m}-01, or the next 1st"
                )
        return self

    def holds_in(self, label: str) -> bool:
        """Whether the term holds in the month `YYYY-MM`."""
        return self.holds_on(date.fromisoformat(f"{label}-01"))


class Discount(Monthly):
    """A percentage or an amount off a month: off the lines of a meter, or off the whole."""

    description: Text = "Discount"
    meter: Id | None = None
    percent: Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    amount: Positive | None = None
    currency: Currency | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Discount":
        if (self.percent is None) == (self.amount is None):
            raise ValueError("a discount is a `percent` or an `amount`; give one of them")
        if (self.amount is None) != (self.currency is None):
            raise ValueError("`amount` and `currency` belong together; a `percent` has neither")
        return self


class Bound(Monthly):
    """The least or the greatest amount of a month. With `prorated`, a part of a month has its share of it."""

    amount: NotNegative
    currency: Currency
    prorated: bool = False


class Term(NamedTuple):
    """A term of a commitment: its first and its last month, `YYYY-MM`."""

    first: str
    last: str

    def holds(self, label: str) -> bool:
        """Whether a month is in the term."""
        return self.first <= label <= self.last


class Fee(Dated):
    """A fixed amount a month, billed with the month or one month ahead. A part of a month pays its share."""

    id: Id
    description: Text = "Fee"
    amount: Positive
    currency: Currency
    due: Literal["arrears", "advance"] = "arrears"
    proration: Literal["time", "day"] = "time"


class Commitment(Monthly):
    """The least that each term costs. The term is trued up at its end; what exceeds it costs `overage_factor` times."""

    amount: Positive
    currency: Currency
    term: Literal["month", "quarter", "year"]
    overage_factor: NotNegative = Decimal(1)
    billed_elsewhere: NotNegative = Decimal(0)  # in the first term, before Tollbook

    @model_validator(mode="after")
    def _whole_terms(self) -> "Commitment":
        months = TERM_MONTHS[self.term]
        if self.valid_to is not None and (_month_number(self.valid_to) - _month_number(self.valid_from)) % months:
            raise ValueError(
                f"valid_from {self.valid_from} to valid_to {self.valid_to} is no whole number of terms of a {self.term}, which has {months} months; "
                f"correct one of them"
            )
        return self

    def terms(self, label: str) -> Iterator[Term]:
        """The terms that begin in the month `label` or earlier, in order."""
        months = TERM_MONTHS[self.term]
        last = _month_number(date.fromisoformat(f"{label}-01"))
        if self.valid_to is not None:
            last = min(last, _month_number(self.valid_to) - 1)
        for first in range(_month_number(self.valid_from), last + 1, months):
            yield Term(_label(first), _label(first + months - 1))


class Credit(Dated):
    """An amount that was paid in advance. It pays for months at whose last day it holds, by priority."""

    id: Id
    description: Text = "Prepaid credit"
    amount: Positive
    currency: Currency
    priority: int = Field(default=0, ge=0, le=1_000)  # the smallest pays first


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


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1


def _label(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"
