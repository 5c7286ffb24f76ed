"""Shares of time: which part of a period something covers. `schemas.catalog.prices.price.prorated` applies a share."""

from datetime import date, datetime, timedelta

from schemas.catalog.prices.price import Share

_US = timedelta(microseconds=1)
_DAY = timedelta(days=1)


def time_share(part: tuple[datetime, datetime], whole: tuple[datetime, datetime]) -> Share:
    """The share of a period's time that [start, end) covers."""
    return Share((part[1] - part[0]) // _US, (whole[1] - whole[0]) // _US)


def day_share(part: tuple[date, date], whole: tuple[date, date]) -> Share:
    """The share of a period's days that [start, end) covers: each day counts the same, whatever its hours."""
    return Share((part[1] - part[0]) // _DAY, (whole[1] - whole[0]) // _DAY)
