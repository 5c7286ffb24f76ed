"""DuckDB as this package uses it: in memory, UTC, statements from aggregate/sql, tables registered by name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from weakref import WeakKeyDictionary

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from lake import damage
from lake import tables as lake
from lake.counted import counted_statement
from schemas.tables import EVENTS, TIME, WITHDRAWN, TableShape

# All times an event can have (schemas.reasons: TIME_RANGE).
EVER: Mapping[str, datetime] = {"start": datetime(2000, 1, 1, tzinfo=UTC), "end": datetime(2100, 1, 1, tzinfo=UTC)}
_SQL_TYPES = {pa.string(): "VARCHAR", TIME: "TIMESTAMPTZ"}  # of columns that a lake may lack

_scanned: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, list[str]]] = WeakKeyDictionary()  # view → its files


def connect(threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A connection without extensions to load and without a local time zone. What is registered on it is seen there alone."""
    con = _database(threads).cursor()
    con.execute("SET TimeZone = 'UTC'")
    return con


def close() -> None:
    """Let go of the database; it is gone when no connection is left."""
    _database.cache_clear()


@cache
def _database(threads: int) -> duckdb.DuckDBPyConnection:
    """One for all connections: to open one takes longer than most statements."""
    return duckdb.connect(
        config={"threads": threads, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )


@cache
def statement(name: str) -> str:
    """The text of aggregate/sql/<name>.sql."""
    return resources.files("aggregate.sql").joinpath(f"{name}.sql").read_text()


def run(
    con: duckdb.DuckDBPyConnection, name: str, params: Mapping[str, object] | None = None, **tables: pa.Table
) -> pa.Table:
    """The result of one statement over the given tables."""
    for table, rows in tables.items():
        con.register(table, rows)
    return ask(con, statement(name), params)


def ask(con: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, object] | None = None) -> pa.Table:
    """The result of a statement. Raises lake.tables.Damaged for a file that cannot be read."""
    with damage.named(lambda: [file for files in _scanned.get(con, {}).values() for file in files]):
        return con.sql(sql, params=dict(params) if params else None).to_arrow_table()


def scan_table(con: duckdb.DuckDBPyConnection, root: Path, shape: TableShape) -> DeltaTable:
    """Make the newest version of a table a view of the same name; the handle on it. Columns that came later are null in old files."""
    table = lake.open_table(root, shape)
    files = lake.files(table)
    _scanned.setdefault(con, {})[shape.name] = files
    if files:
        with damage.named(lambda: files):
            rows = con.read_parquet(files, union_by_name=lake.is_mixed(table))
        absent = [f for f in shape.schema if f.name in shape.later and f.name not in rows.columns]
        columns = ["*", *(f"NULL::{_SQL_TYPES[f.type]} AS {f.name}" for f in absent)]
        rows.project(", ".join(columns)).create_view(shape.name)
    else:
        con.register(shape.name, shape.schema.empty_table())
    return table


def scan(con: duckdb.DuckDBPyConnection, view: str, files: list[str], empty: pa.Schema) -> None:
    """Make `view` the rows of exactly these Parquet files, `event_day` read from their paths; no file: no row.

    Raises lake.tables.Damaged, here or when the view is read, for a file that cannot be read.
    """
    _scanned.setdefault(con, {})[view] = files
    if files:
        with damage.named(lambda: files):
            con.register(view, con.read_parquet(files, hive_partitioning=True))
    else:
        con.register(view, empty.empty_table())


def scan_counted(con: duckdb.DuckDBPyConnection, landed: list[str], withdrawn: list[str]) -> None:
    """Make view `events` the events of some files that count, and `withdrawn` the rows of those files of table withdrawn."""
    scan(con, WITHDRAWN.name, withdrawn, WITHDRAWN.schema)
    if not withdrawn:
        scan(con, EVENTS.name, landed, EVENTS.schema)
        return
    scan(con, "landed", landed, EVENTS.schema)
    con.register(EVENTS.name, con.sql(counted_statement()))
