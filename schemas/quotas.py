"""The rule for when a quota's threshold is reached. Alerts, `quota.state` and invoice statements all use it."""

from datetime import UTC, datetime
from decimal import Decimal

from schemas.money import EXACT

WHOLE = Decimal(100)  # percent
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)  # before any event: the start of the first known limit of a quota


def level(limit: Decimal, threshold_percent: Decimal) -> Decimal:
    """The usage at which a threshold is reached, in the meter's unit."""
    return EXACT.multiply(limit, threshold_percent.scaleb(-2))


def is_reached(used: Decimal, limit: Decimal, threshold_percent: Decimal = WHOLE) -> bool:
    """Whether usage has reached a threshold of a limit. The default threshold is the whole limit."""
    return used >= level(limit, threshold_percent)
