"""Which rows of table `events` count: one statement for all who read events, whichever part of the product they are."""

from functools import cache
from importlib import resources


@cache
def counted_statement() -> str:
    """The text of lake/sql/counted.sql: view `events` over `landed` (files of table events) and `withdrawn`."""
    return resources.files("lake.sql").joinpath("counted.sql").read_text()
