"""Results of DuckDB as Python rows, and rows as tables: what is converted in parts is what one conversion gives."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from lake import duck
from schemas.tables import TIME

SCHEMA = pa.schema([("n", pa.int64()), ("at", TIME), ("quantity", pa.decimal128(38, 0)), ("name", pa.string())])
TIMES = (datetime(2026, 10, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None)


def rows(count: int) -> list[dict[str, object]]:
    return [
        {"n": n, "at": TIMES[n % 3], "quantity": Decimal(10**30 + n), "name": None if n % 2 else f"row {n}"}
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1201])
def test_each_row_is_what_to_pylist_gives_and_makes_the_table_again(count: int) -> None:
    """Around the size of a part, with nulls, sums of 128 bits, and a time before 1970."""
    table = pa.Table.from_pylist(rows(count), SCHEMA)
    assert list(duck.each(table)) == table.to_pylist() == rows(count)
    assert duck.table_of(list(duck.each(table)), SCHEMA) == table


def test_times_are_in_utc_whatever_the_part() -> None:
    (row,) = duck.each(pa.Table.from_pylist(rows(1), SCHEMA))
    assert row["at"].tzinfo is UTC
