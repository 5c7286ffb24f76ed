"""What the lines of a bill cost, as the terms of a contract see them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple


class Amounts(NamedTuple):
    """The rounded amounts of the lines: of all, and by meter. Fees belong to no meter."""

    currency: str
    total: Decimal
    by_meter: Mapping[str, Decimal]
