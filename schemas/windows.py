"""Tumbling windows of 15 minutes: [start, end), aligned to the UTC epoch, integer microseconds.

Every time zone offset is a multiple of 15 minutes, so a billing month in any zone is a whole number of windows.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

WINDOW_US = 900_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Window(NamedTuple):
    """One window, in microseconds since the epoch."""

    start_us: int
    end_us: int


def window_for(occurred_us: int) -> Window:
    """The window that contains `occurred_us`. Negative times round down as well."""
    start = occurred_us // WINDOW_US * WINDOW_US
    return Window(start, start + WINDOW_US)


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch, exact. `instant` must be aware."""
    return (instant - EPOCH) // _US


def from_us(us: int) -> datetime:
    """The UTC instant `us` microseconds after the epoch."""
    return EPOCH + us * _US
