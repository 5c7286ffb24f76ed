"""DuckDB as the product uses it: in memory, in UTC, without extensions to download, with statements from SQL files.

Whatever reads Parquet files through a connection goes through `ask`: a file that cannot be read raises
`lake.errors.Damaged`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from weakref import WeakKeyDictionary

import duckdb
import pyarrow as pa

from lake import damage
from lake.storage import parquet
from schemas.tables import EVENTS, TIME, WITHDRAWN, TableShape
from schemas.windows import from_us

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    TIME: "TIMESTAMPTZ",
}  # of columns that a file may lack
_PART_ROWS = 500  # converted at once: less than a millisecond
_COLUMN_ROWS = 5_000  # of one column

_scanned: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, list[str]]] = WeakKeyDictionary()  # view → its files


def connect(threads: int | None = 2, *, macros: str = "") -> duckdb.DuckDBPyConnection:
    """A connection to a shared database with these macros. What is registered, set or TEMP is seen on it alone.

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
    """Release the shared databases. Each ends with the last connection to it."""
    _shared.cache_clear()


@cache
def _shared(threads: int | None, macros: str) -> duckdb.DuckDBPyConnection:
    """One for all connections: opening a database takes as long as decoding ten thousand lines."""
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
    """The rows of a result, with sums as integers of any size: for printing, for JSON, or for hashing their text.

    A sum has 128 bits in DuckDB, and becomes a decimal without a fraction in Python.
    """
    sums = [f.name for f in table.schema if pa.types.is_decimal(f.type) and f.type.scale == 0]
    found: list[dict[str, Any]] = table.to_pylist()
    for row in found:
        row.update((name, int(row[name])) for name in sums if row[name] is not None)
    return found


def each(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a result one by one, with times in UTC, as `to_pylist` gives them.

    A large result is converted in parts, because a conversion holds Python's lock and no other thread runs meanwhile.
    Times are converted here, as pyarrow needs 5 µs for a time with a zone.
    """
    for batch in table.to_batches(max_chunksize=_PART_ROWS):
        columns = [_values(batch.column(name)) for name in batch.schema.names]
        for row in zip(*columns, strict=True):
            yield dict(zip(batch.schema.names, row, strict=True))


def table_of(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """The opposite of `each`, in parts for the same reason."""
    parts = (rows[first : first + _PART_ROWS] for first in range(0, len(rows), _PART_ROWS))
    return pa.concat_tables([schema.empty_table(), *(pa.Table.from_pylist(list(part), schema) for part in parts)])


def column_of(values: Sequence[object], kind: pa.DataType) -> pa.ChunkedArray:
    """A column of values, in parts for the same reason."""
    firsts = range(0, len(values), _COLUMN_ROWS)
    return pa.chunked_array([pa.array(values[first : first + _COLUMN_ROWS], kind) for first in firsts], kind)


def _values(column: pa.Array) -> list[Any]:
    found: list[Any] = (column.cast(pa.int64()) if column.type == TIME else column).to_pylist()
    return found if column.type != TIME else [None if us is None else from_us(us) for us in found]


def scan(
    con: duckdb.DuckDBPyConnection, view: str, files: list[str], shape: TableShape, *, mixed: bool = False
) -> None:
    """Make `view` the rows of exactly these files of a table, with partition columns from their paths.

    `mixed`: some files may lack columns that came later, which are then null. It costs half a millisecond a file. A
    file that cannot be read raises lake.errors.Damaged, here or when the view is read.
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
    """Make view `events` the events of files that count, and `withdrawn` the rows of files of that table."""
    scan(con, WITHDRAWN.name, withdrawn, WITHDRAWN)
    if not withdrawn:
        scan(con, EVENTS.name, landed, EVENTS)
        return
    scan(con, "landed", landed, EVENTS)
    con.register(EVENTS.name, con.sql(counted_statement()))


def counted_statement() -> str:
    """The rows of table `events` that count (lake/sql/counted.sql), from the views `landed` and `withdrawn`."""
    return statement("lake.sql", "counted")
