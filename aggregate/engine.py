"""Runs the statements of aggregate/sql over tables that are passed by name or were scanned."""

from collections.abc import Mapping
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from lake import duck

# All possible times of events (schemas.reasons: TIME_RANGE).
EVER: Mapping[str, datetime] = {"start": datetime(2000, 1, 1, tzinfo=UTC), "end": datetime(2100, 1, 1, tzinfo=UTC)}


def statement(name: str) -> str:
    """The text of aggregate/sql/<name>.sql."""
    return duck.statement("aggregate.sql", name)


def run(
    con: duckdb.DuckDBPyConnection, name: str, params: Mapping[str, object] | None = None, **tables: pa.Table
) -> pa.Table:
    """The result of a statement over the given tables. Raises lake.errors.Damaged if a file cannot be read."""
    for table, rows in tables.items():
        con.register(table, rows)
    return duck.ask(con, statement(name), params)
