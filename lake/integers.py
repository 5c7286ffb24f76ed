"""Whole numbers out of SQL: a sum has 128 bits in DuckDB, and comes to Python as a decimal without a fraction."""

from typing import Any

import pyarrow as pa


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a result, sums as Python's integers, whatever their size: to be printed, written as JSON, or hashed by their text."""
    sums = [f.name for f in table.schema if pa.types.is_decimal(f.type) and f.type.scale == 0]
    found: list[dict[str, Any]] = table.to_pylist()
    for row in found:
        row.update((name, int(row[name])) for name in sums if row[name] is not None)
    return found
