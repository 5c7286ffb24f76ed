"""DuckDB as the product uses it: in memory, UTC, no extension that it would fetch, statements from the packages' SQL files.

Whatever reads Parquet files through a connection goes through `ask`: a file that cannot be read becomes `lake.errors.Damaged`.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any
from weakref import WeakKeyDictionary

import duckdb
import pyarrow as pa

from lake import damage
from lake.storage import parquet
from schemas.tables import EVENTS, TIME, WITHDRAWN, TableShape

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    TIME: "TIMESTAMPTZ",
}  # of columns that a file may lack

_scanned: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, list[str]]] = WeakKeyDictionary()  # view → its files


def connect(threads: int | None = 2, *, macros: str = "") -> duckdb.DuckDBPyConnection:
    """A connection to a database that is shared, with these macros in it. What is registered, set or TEMP on it is seen there alone.

    `threads`: None for all cores.
    """
    con = _shared(threads, macros).cursor()
    con.execute("SET TimeZone = 'UTC'")
    return con


def database(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection to a database of its own. `threads`: default all cores."""
    config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    con = duckdb.connect(config=config if threads is None else {**config, "threads": threads})
    con.execute("SET TimeZone = 'UTC'")
    return con


def close() -> None:
    """Let go of the shared databases; each is gone when no connection to it is left."""
    _shared.cache_clear()


@cache
def _shared(threads: int | None, macros: str) -> duckdb.DuckDBPyConnection:
    """One for all connections: to open one takes longer than most statements, and as long as to decode ten thousand lines."""
    con = database(threads)
    if macros:
        con.execute(macros)
    return con


@cache
def statement(folder: str, name: str) -> str:
    """The text of <name>.sql in a folder of the product, as `aggregate.sql`."""
    return resources.files(folder).joinpath(f"{name}.sql").read_text()


def ask(con: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, object] | None = None) -> pa.Table:
    """The result of a statement. Raises lake.errors.Damaged for a file that cannot be read."""
    with damage.named(lambda: [file for files in _scanned.get(con, {}).values() for file in files]):
        return con.sql(sql, params=dict(params) if params else None).to_arrow_table()


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a result, sums as Python's integers, whatever their size: to be printed, written as JSON, or hashed by their text.

    A sum has 128 bits in DuckDB, and comes to Python as a decimal without a fraction.
    """
    sums = [f.name for f in table.schema if pa.types.is_decimal(f.type) and f.type.scale == 0]
    found: list[dict[str, Any]] = table.to_pylist()
    for row in found:
        row.update((name, int(row[name])) for name in sums if row[name] is not None)
    return found


def scan(
    con: duckdb.DuckDBPyConnection, view: str, files: list[str], shape: TableShape, *, mixed: bool = False
) -> None:
    """Make `view` the rows of exactly these files of a table, its partition columns read from their paths; no file: no row.

    `mixed`: some files may lack columns that came later, which are null then; by name costs half a millisecond a file. Raises
    lake.errors.Damaged, here or when the view is read, for a file that cannot be read.
    """
    _scanned.setdefault(con, {})[view] = files
    if not files:
        con.register(view, shape.schema.empty_table())
        return
    with damage.named(lambda: files):
        found = parquet.relation(con, files, partitioned=bool(shape.partition_by), mixed=mixed)
    absent = [f for f in shape.schema if f.name in shape.later and f.name not in found.columns]
    columns = ["*", *(f"NULL::{_SQL_TYPES[f.type]} AS {f.name}" for f in absent)]
    con.register(view, found.project(", ".join(columns)) if absent else found)


def scan_counted(con: duckdb.DuckDBPyConnection, landed: list[str], withdrawn: list[str]) -> None:
    """Make view `events` the events of some files that count, and `withdrawn` the rows of those files of table withdrawn."""
    scan(con, WITHDRAWN.name, withdrawn, WITHDRAWN)
    if not withdrawn:
        scan(con, EVENTS.name, landed, EVENTS)
        return
    scan(con, "landed", landed, EVENTS)
    con.register(EVENTS.name, con.sql(counted_statement()))


def counted_statement() -> str:
    """Which rows of table `events` count (lake/sql/counted.sql): view `events` over `landed` and `withdrawn`, for all who read events."""
    return statement("lake.sql", "counted")
