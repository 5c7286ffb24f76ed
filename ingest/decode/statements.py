"""The statements of `ingest/decode/sql`, and the database they run in."""

from collections.abc import Mapping
from types import MappingProxyType

import duckdb
import pyarrow as pa

from lake import duck

_NONE: Mapping[str, str] = MappingProxyType({})


def connect() -> duckdb.DuckDBPyConnection:
    """A connection that knows the macros. What is registered, set or created as TEMP on it is seen there alone."""
    return duck.connect(1, macros=text("macros"))


class _Given:
    """A table of Arrow's under a name that stays: what was planned over it is executed anew when it is exchanged."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Statements:
    """Of one connection, planned once each: to plan takes as long as to read some thousand lines.

    For that they have no variables: what is one value for all rows is a column of a table with one row, too.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._given: dict[str, _Given] = {}
        self._planned: set[str] = set()

    def give(self, **tables: pa.Table) -> None:
        """What statements read from now on by these names, always with the same columns."""
        for name, table in tables.items():
            if name in self._given:
                self._given[name].table = table
            else:
                self._given[name] = _Given(table)
                self._con.register(name, self._given[name])

    def run(self, name: str, over: Mapping[str, str] = _NONE) -> pa.Table:
        """What the statement `name` gives. What it reads was given, or is among `over`.

        `over`: statements by the names under which it reads them, each after those that it reads itself. They are no
        views, since each view is planned where it is created, with all that it reads.
        """
        if name not in self._planned:
            named = ", ".join(f"{view} AS NOT MATERIALIZED (\n{statement})" for view, statement in over.items())
            self._con.execute(f"PREPARE {name} AS " + (f"WITH {named}\n{text(name)}" if named else text(name)))
            self._planned.add(name)
        return self._con.sql(f"EXECUTE {name}").to_arrow_table()


def text(name: str) -> str:
    """The file `name`.sql."""
    return duck.statement("ingest.decode.sql", name)
