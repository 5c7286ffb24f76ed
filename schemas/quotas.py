"""When a quota is reached: used >= its share. Alerts, the state that gateways read and the statement on an invoice all ask here."""

from datetime import UTC, datetime
from decimal import Decimal

from schemas.money import EXACT

WHOLE = Decimal(100)  # percent
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)  # from when the first limit that was seen of a quota holds: before any event


def level(limit: Decimal, threshold_percent: Decimal) -> Decimal:
    """The usage at which a threshold is reached, in the meter's unit."""
    return EXACT.multiply(limit, threshold_percent.scaleb(-2))


def is_reached(used: Decimal, limit: Decimal, threshold_percent: Decimal = WHOLE) -> bool:
    """Whether usage has come to a threshold of a limit; without one: whether the quota is used up."""
    return used >= level(limit, threshold_percent)
