"""Appendices of an invoice as data: the usage of its metered lines by local day, by route or by an attribute."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from billing.usage.measured import UnlistedValues


class UsageRow(NamedTuple):
    """The usage of a line on a local day, of a route, or of a value of an attribute. None if the log had neither."""

    name: date | str | None
    quantity: Decimal


class LineUsage(NamedTuple):
    """The usage of one line, whose position on the invoice counts from 1. Rows of 0 are left out."""

    position: int
    rows: tuple[UsageRow, ...]
    others: UnlistedValues | None = None  # the values of an attribute beyond the first `itemize_max`


class Appendices(NamedTuple):
    """Of each metered line, what a partner asked for: days in order, and routes by quantity, the largest first.

    `values` has the lines whose meters itemize by an attribute, with its values by quantity, the largest first.
    """

    days: tuple[LineUsage, ...] = ()
    routes: tuple[LineUsage, ...] = ()
    values: tuple[LineUsage, ...] = ()


NO_APPENDICES = Appendices()
