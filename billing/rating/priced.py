"""What the lines of a bill cost, as the terms of a contract see them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from billing.rating.limited import LimitedRate


class Amounts(NamedTuple):
    """The rounded amounts of the lines: of all, and by meter. Fees belong to no meter.

    `by_meter` is without the lines of `limited` rates, whose limits come after the discounts of their meter.
    """

    currency: str
    total: Decimal
    by_meter: Mapping[str, Decimal]
    limited: Sequence[LimitedRate] = ()
