"""The SQL statements of `ingest/decode/sql`, and the DuckDB connections that run them."""

from collections.abc import Mapping
from types import MappingProxyType

import duckdb
import pyarrow as pa

from ingest.decode import fields
from lake import duck

_NONE: Mapping[str, str] = MappingProxyType({})


def connect(format_name: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the macros, and with those that read the JSON fields of a format.

    Registered tables, settings and TEMP objects are visible on this connection only.
    """
    con = duck.connect(1, macros=text("macros"))
    if format_name and (own := fields.macros(format_name)):
        con.execute(own)
    return con


class _ReplaceableTable:
    """An Arrow table under a fixed name, so that a prepared statement reads whichever table is current."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Statements:
    """Prepared statements of one connection: planning takes as long as reading some thousand lines.

    Prepared statements have no parameters here: a value that holds for all rows is a column of a table with one row.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._tables: dict[str, _ReplaceableTable] = {}
        self._planned: set[str] = set()

    def bind(self, **tables: pa.Table) -> None:
        """Set the tables that statements read under these names, always with the same columns."""
        for name, table in tables.items():
            if name in self._tables:
                self._tables[name].table = table
            else:
                self._tables[name] = _ReplaceableTable(table)
                self._con.register(name, self._tables[name])

    def run(self, name: str, over: Mapping[str, str] = _NONE) -> pa.Table:
        """The result of the statement `name`. The tables it reads are bound, or are among `over`.

        `over`: statements by the names under which they are read, each after those it reads itself. They are not views:
        DuckDB plans a view, with everything it reads, when it is created.
        """
        if name not in self._planned:
            named = ", ".join(f"{view} AS NOT MATERIALIZED (\n{statement})" for view, statement in over.items())
            self._con.execute(f"PREPARE {name} AS " + (f"WITH {named}\n{text(name)}" if named else text(name)))
            self._planned.add(name)
        return self._con.sql(f"EXECUTE {name}").to_arrow_table()


def text(name: str) -> str:
    """The text of the file `name`.sql."""
    return duck.statement("ingest.decode.sql", name)
