"""One runner for all SQL: a folder per statement, a folder per case, tables and the expected result as CSV.

`tests/sql/<statement>/<case>/`: `<table>.csv` for each table that has rows (columns by name, those left out are null),
`params.json` for what is bound (texts that are instants become instants), `expect.csv` for the result: its columns, by
name, and its rows, in order where the statement orders them. NULL is null, anything else is the value as DuckDB writes it.
"""

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from schemas import tables
from schemas.tables import TIME

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLACES = [ROOT / "billing" / "sql", ROOT / "aggregate" / "sql", ROOT / "schemas" / "sql"]
# What statements read beside the tables of the lake.
OTHERS = {
    "spans": [("span", pa.int64()), ("partner_id", pa.string()), ("meter", pa.string()), ("span_start", TIME), ("span_end", TIME)],
    "meters": [("meter", pa.string()), ("field", pa.string())],
    "meter_status": [("meter", pa.string()), ("status", pa.int16())],
    "meter_filtered": [("meter", pa.string())],
    "meter_call": [("meter", pa.string()), ("method", pa.string()), ("route", pa.string())],
    "calendars": [("span", pa.int64()), ("calendar", pa.int64())],
    "quota_periods": [("calendar", pa.int64()), ("period_start", TIME), ("period_end", TIME)],
    "days": [("day", pa.date32()), ("day_start", TIME)],
    "partners": [("partner_id", pa.string())],
    "bucket": [
        ("source", pa.string()), ("event_id", pa.string()), ("identity", pa.uint64()), ("is_derived", pa.bool_()), ("landed", pa.int64()),
        ("events_partition", pa.int16()), ("position", pa.int64()), ("item", pa.int32()), ("place", pa.int64()),
    ],
    "metered": [
        ("span", pa.int64()), ("partner_id", pa.string()), ("meter", pa.string()), ("window_start", TIME), ("source", pa.string()),
        ("service", pa.string()), ("method", pa.string()), ("route", pa.string()), ("status", pa.int16()),
        ("events_partition", pa.int32()), ("quantity", pa.decimal128(38, 0)),
    ],
}  # fmt: skip
SHAPES = {**{name: shape.schema for name, shape in tables.ALL.items()}, **{n: pa.schema(c) for n, c in OTHERS.items()}}
SHAPES["folded"] = SHAPES["rollups"]
SHAPES["landed"] = SHAPES["events"]
CASES = sorted(path.parent.relative_to(HERE) for path in HERE.glob("*/*/expect.csv"))
# Statements over the books of a whole lake: their cases are lakes, in tests/billing, tests/ingest and tests/tollbook.
ELSEWHERE = {"completeness", "generations", "offsets"}


def connected() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    con.execute("SET TimeZone = 'UTC'")
    return con


def table(path: Path, shape: pa.Schema) -> pa.Table:
    """The rows of a CSV file in the table's own types; a column that is not in the file is null."""
    rows = read(path) if path.exists() else []
    unknown = {name for row in rows for name in row} - set(shape.names)
    assert not unknown, f"{path}: {sorted(unknown)} are no columns of the table"
    columns = [pa.array([row.get(f.name) for row in rows], pa.string()) for f in shape]
    typed = [column.cast(pa.int64()).cast(f.type) if pa.types.is_integer(f.type) else column.cast(f.type) for column, f in zip(columns, shape, strict=True)]  # fmt: skip
    return pa.table(typed, schema=shape)


def read(path: Path) -> list[dict[str, str | None]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: None if v == "NULL" else v for k, v in row.items()} for row in csv.DictReader(file)]


def bound(value: Any) -> Any:
    """A text that is an instant, as an instant."""
    return datetime.fromisoformat(value) if isinstance(value, str) and value.endswith("Z") else value


def statement(name: str) -> str:
    (found,) = [place / f"{name}.sql" for place in PLACES if (place / f"{name}.sql").exists()]
    return found.read_text()


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Apia"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_statement_gives_what_the_case_says(case: Path, zone: str) -> None:
    """Values, nulls, types as they are written (5 is no 5.0), and the order where there is one; whichever zone the session has."""
    con = connected()
    for name, shape in SHAPES.items():
        con.register(name, table(HERE / case / f"{name}.csv", shape))
    given = HERE / case / "params.json"
    params = json.loads(given.read_text(), parse_float=Decimal) if given.exists() else {}
    text = statement(case.parts[0])
    con.execute(f"SET TimeZone = '{zone}'")
    result = con.sql(text, params={key: bound(value) for key, value in params.items()} or None).to_arrow_table()
    expected = (HERE / case / "expect.csv").read_text().splitlines()[0].split(",")
    assert set(expected) <= set(result.column_names)
    con.register("result", result)
    con.execute("SET TimeZone = 'UTC'")  # as the expected texts are written
    columns = ", ".join(f'"{name}"::VARCHAR' for name in expected)
    got = [dict(zip(expected, row, strict=True)) for row in con.sql(f"SELECT {columns} FROM result").fetchall()]
    wanted = read(HERE / case / "expect.csv")
    if "ORDER BY" not in text:
        got, wanted = sorted(got, key=repr), sorted(wanted, key=repr)
    assert got == wanted


@pytest.mark.parametrize("name", sorted(path.stem for path in PLACES[0].glob("*.sql")))
def test_every_statement_of_billing_has_a_case(name: str) -> None:
    """A new statement comes with an example of what it does."""
    has = any(case.parts[0] == name for case in CASES)
    assert has or name in ELSEWHERE, f"tests/sql/{name} is missing"
    assert not (has and name in ELSEWHERE), f"{name} has cases now: take it off the list"
