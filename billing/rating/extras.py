"""Amounts of a bill that are not usage at a rate: fees, discounts, minimums, adjustments of earlier months, credits."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class ExtraKind(StrEnum):
    """What an amount is. The values are part of issued documents, so they are never renamed. They are in bill order."""

    FEE = "fee"  # a fixed fee of the contract
    DISCOUNT = "discount"  # on the whole, negative
    MAXIMUM = "maximum"  # what exceeds the most that a month may cost, negative
    MINIMUM = "minimum"  # what lacks to the least that a month costs
    COMMITMENT = "commitment"  # what lacks to the committed amount at the end of its term
    ADJUSTMENT = "adjustment"  # usage of a settled month that was not billed there, or was billed too much
    CREDIT = "credit"  # paid in advance, negative


class Extra(NamedTuple):
    """One such amount.

    `exact` is the amount before it was rounded to the currency's minor unit. `facts` are what the document shows beside
    the description, by name: text values, decimals as plain text, days as ISO dates.
    """

    kind: ExtraKind
    amount: Decimal
    exact: Decimal
    facts: Mapping[str, str]
