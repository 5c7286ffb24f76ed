"""The statements of `ingest/sql`, and the database they run in."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import duckdb
import pyarrow as pa

_NONE: Mapping[str, str] = MappingProxyType({})


def connect() -> duckdb.DuckDBPyConnection:
    """A connection that knows the macros. What is registered, set or created as TEMP on it is seen there alone."""
    con = _database().cursor()
    con.execute("SET TimeZone = 'UTC'")
    return con


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One for all connections, with the macros they share: to open one takes as long as to decode ten thousand lines."""
    con = duckdb.connect(
        config={"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    con.execute(text("macros"))
    return con


class Statements:
    """Of one connection. Each is kept, and executed anew over what is registered by then: from its text, it is planned twice each time."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._kept: dict[str, duckdb.DuckDBPyRelation] = {}

    def run(self, name: str, over: Mapping[str, str] = _NONE) -> pa.Table:
        """What the statement `name` gives. What it reads is registered, always with the same columns, or among `over`.

        `over`: statements by the names under which it reads them, each after those that it reads itself. They are no views, since
        each view is planned where it is created, with all that it reads.
        """
        if name not in self._kept:
            named = ", ".join(f"{view} AS NOT MATERIALIZED (\n{statement})" for view, statement in over.items())
            self._kept[name] = self._con.sql(f"WITH {named}\n{text(name)}" if named else text(name))
        return self._kept[name].to_arrow_table()


@cache
def text(name: str) -> str:
    """The file `name`.sql."""
    return resources.files("ingest.sql").joinpath(f"{name}.sql").read_text()
