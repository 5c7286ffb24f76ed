"""Appendices of an invoice as data: the usage of its metered lines by local day or by route."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple


class UsageRow(NamedTuple):
    """The usage of a line on a local day, or of a route. The route is None if the log had none."""

    name: date | str | None
    quantity: Decimal


class LineUsage(NamedTuple):
    """The usage of one line, whose position on the invoice counts from 1. Rows of 0 are left out."""

    position: int
    rows: tuple[UsageRow, ...]


class Appendices(NamedTuple):
    """What a partner asked for, of each metered line: days in order, and routes by quantity, the largest first."""

    days: tuple[LineUsage, ...] = ()
    routes: tuple[LineUsage, ...] = ()


NO_APPENDICES = Appendices()
