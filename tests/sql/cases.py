"""Cases of SQL statements: a folder per statement, a folder per case, tables and the expected result as CSV.

`tests/sql/<statement>/<case>/`: `<table>.csv` for each table that has rows (columns by name, those left out are null),
`params.json` for what is bound (texts that are instants become instants), `expect.csv` for the result: its columns, by
name, and its rows, in order where the statement orders them. NULL is null, anything else is the value as DuckDB writes
it. Where values may differ from one version of DuckDB to the next, as hashes do, `asked.sql` says what is compared: a
query over `result`.
"""

import csv
import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from schemas import tables
from schemas.tables import TIME
from tollbook.demo import sample_logs

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Those of ingest work on lines and have their tests in tests/ingest; those of earlier rules are never changed.
STATEMENTS = {
    path.stem: path
    for package in ("aggregate", "billing", "kernels", "lake", "schemas", "tollbook")
    for path in sorted((ROOT / package).rglob("*.sql"))
    if "rules1" not in path.parts
}
CASES = sorted(path.parent.relative_to(HERE) for path in HERE.glob("*/*/expect.csv"))
_ROWS_OF_FILES = [*tables.EVENTS.schema, ("filename", pa.string()), ("file_row_number", pa.int64())]
# What statements read beside the tables of the lake.
OTHERS = {
    "spans": [("span", pa.int64()), ("partner_id", pa.string()), ("meter", pa.string()), ("span_start", TIME), ("span_end", TIME)],
    "months": [("position", pa.int64()), ("partner_id", pa.string()), ("month_start", TIME), ("month_end", TIME)],
    "small_events": [*tables.EVENTS.schema],
    "small_rollups": [*tables.ROLLUPS.schema],
    "hashed": [("a", pa.int64()), ("b", pa.string())],
    "shown": [("partner_id", pa.string())],
    "throttles": [
        ("span", pa.int64()), ("partner_id", pa.string()), ("span_start", TIME), ("span_end", TIME), ("rate_per_s", pa.decimal128(38, 9)),
    ],
    "levels": [
        ("wanted", pa.int64()), ("partner_id", pa.string()), ("meter", pa.string()), ("span_start", TIME), ("span_end", TIME),
        ("level", pa.decimal128(38, 9)),
    ],
    "meters": [("meter", pa.string()), ("field", pa.string())],
    "meter_status": [("meter", pa.string()), ("status", pa.int16())],
    "meter_filtered": [("meter", pa.string())],
    "meter_call": [("meter", pa.string()), ("method", pa.string()), ("route", pa.string())],
    "calendars": [("span", pa.int64()), ("calendar", pa.int64())],
    "quota_periods": [("calendar", pa.int64()), ("period_start", TIME), ("period_end", TIME)],
    "pieces": [("window_start", TIME), ("piece_start", TIME)],
    "days": [("day", pa.date32()), ("day_start", TIME)],
    "local_days": [("time_zone", pa.string()), ("day", pa.date32()), ("day_start", TIME)],
    "partners": [("partner_id", pa.string()), ("name", pa.string()), ("time_zone", pa.string()), ("status", pa.string())],
    "units": [("meter", pa.string()), ("unit", pa.string()), ("billable", pa.bool_()), ("per_unit", pa.decimal128(38, 9))],
    "bucket": [
        ("source", pa.string()), ("event_id", pa.string()), ("identity", pa.uint64()), ("is_derived", pa.bool_()), ("landed", pa.int64()),
        ("events_partition", pa.int16()), ("position", pa.int64()), ("item", pa.int32()), ("place", pa.int64()),
    ],
    "metered": [
        ("span", pa.int64()), ("partner_id", pa.string()), ("meter", pa.string()), ("window_start", TIME), ("source", pa.string()),
        ("service", pa.string()), ("method", pa.string()), ("route", pa.string()), ("status", pa.int16()),
        ("events_partition", pa.int32()), ("quantity", pa.decimal128(38, 0)),
    ],
    "usage": [
        ("partner_id", pa.string()), ("meter", pa.string()), ("window_start", TIME), ("route", pa.string()), ("quantity", pa.decimal128(38, 9)),
    ],
    "measured_meters": [
        ("meter", pa.string()), ("counted", pa.string()), ("name", pa.string()), ("types", pa.list_(pa.string())),
        ("attributes", pa.list_(pa.struct([("name", pa.string()), ("values", pa.list_(pa.string()))]))), ("itemize_by", pa.string()),
    ],
    "measured": [
        ("span", pa.int64()), ("occurred_at", TIME), ("source", pa.string()), ("event_id", pa.string()), ("route", pa.string()),
        ("listed", pa.string()), ("value", pa.string()), ("whole", pa.decimal128(38, 0)), ("fraction", pa.int64()),
    ],
    "listed_spans": [("span", pa.int64()), ("itemize_max", pa.int64())],
    "wanted": [("position", pa.int64())],
    "fresh": [("source", pa.string()), ("event_id", pa.string())],
    "own": [("events_partition", pa.int16())],
    "files": [("filename", pa.string()), ("number", pa.int64()), ("landed", pa.int64())],
    "compared": [("source", pa.string()), ("with_derived", pa.bool_())],
    "slots": [("partner", pa.string()), ("slot_start_us", pa.int64()), ("first_n", pa.int64()), ("requests", pa.int64())],
    "requests": [
        ("n", pa.int64()), ("partner", pa.string()), ("at_us", pa.int64()), ("shipped_us", pa.int64()), ("copy", pa.int32()),
        ("route_no", pa.int32()), ("status", pa.int32()), ("response_bytes", pa.int64()), ("latency_ms", pa.int64()), ("fault", pa.string()),
    ],
}  # fmt: skip
SHAPES = {**{name: shape.schema for name, shape in tables.ALL.items()}, **{n: pa.schema(c) for n, c in OTHERS.items()}}
SHAPES["folded"] = SHAPES["rollups"]
SHAPES["sums"] = SHAPES["rollups"]
SHAPES["landed"] = pa.schema(_ROWS_OF_FILES)
SHAPES["stored"] = SHAPES["events"]
MACROS = {"demo_requests": sample_logs._MIX, "demo_lines": sample_logs._MIX}

Rows = list[dict[str, str | None]]


def database() -> duckdb.DuckDBPyConnection:
    """A new database, which loads nothing."""
    return duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})


_shared = cache(database)


def connected(*, apart: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection of the case's own, which sees no variable of Python.

    `apart`: to a database of its own, for what is not TEMP.
    """
    con = database() if apart else _shared().cursor()
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET python_enable_replacements = false")
    return con


def outcome(case: Path, text: str, zone: str = "UTC") -> tuple[Rows, Rows]:
    """What a statement gives over a case's tables, and what the case says that it gives; sorted where nothing is
    ordered.
    """
    return compared(prepared(case, text), case, text, zone)


def prepared(case: Path, text: str) -> duckdb.DuckDBPyConnection:
    """A database with the case's tables, as far as the statement names them."""
    macro = MACROS.get(case.parts[0])
    con = connected(apart=macro is not None)
    for name in _read_by(text):
        con.register(name, table(HERE / case / f"{name}.csv", SHAPES[name]))
    if macro:
        con.execute(macro)
    return con


def compared(con: duckdb.DuckDBPyConnection, case: Path, text: str, zone: str = "UTC") -> tuple[Rows, Rows]:
    """The same in a database that is there. Raises duckdb.Error for a statement that cannot be run."""
    con.execute(f"SET TimeZone = '{zone}'")
    try:
        result = con.sql(text, params=_params(case) or None).to_arrow_table()
    finally:
        con.execute("SET TimeZone = 'UTC'")  # as the expected texts are written
    asked = HERE / case / "asked.sql"
    if asked.exists():
        text = asked.read_text()
        con.register("result", result)
        result = con.sql(text).to_arrow_table()
    con.register("result", result)
    wanted = read(HERE / case / "expect.csv")
    columns = (HERE / case / "expect.csv").read_text().splitlines()[0].split(",")
    selected = ", ".join(f'"{name}"::VARCHAR' for name in columns)
    got = [dict(zip(columns, row, strict=True)) for row in con.sql(f"SELECT {selected} FROM result").fetchall()]
    if "ORDER BY" not in text:
        got, wanted = sorted(got, key=repr), sorted(wanted, key=repr)
    return got, wanted


def _read_by(text: str) -> list[str]:
    """The tables that a statement names; some may only be called like a column."""
    words = set(re.findall(r"\w+", re.sub(r"--[^\n]*", "", text)))
    return [name for name in SHAPES if name in words]


def _params(case: Path) -> Mapping[str, Any]:
    given = HERE / case / "params.json"
    params = json.loads(given.read_text(), parse_float=Decimal) if given.exists() else {}
    return {name: bound(value) for name, value in params.items()}


def bound(value: Any) -> Any:
    """A text that is an instant, as an instant; also in a list."""
    if isinstance(value, list):
        return [bound(one) for one in value]
    return datetime.fromisoformat(value) if isinstance(value, str) and value.endswith("Z") else value


def table(path: Path, shape: pa.Schema) -> pa.Table:
    """The rows of a CSV file in the table's own types; a column that is not in the file is null."""
    rows = read(path) if path.exists() else []
    unknown = {name for row in rows for name in row} - set(shape.names)
    assert not unknown, f"{path}: {sorted(unknown)} are no columns of the table"
    lists = {f.name for f in shape if pa.types.is_nested(f.type)}
    if lists:  # written as JSON
        return pa.Table.from_pylist([row | {n: json.loads(row[n] or "null") for n in lists} for row in rows], shape)
    columns = [pa.array([row.get(f.name) for row in rows], pa.string()) for f in shape]
    typed = [column.cast(pa.int64()).cast(f.type) if pa.types.is_integer(f.type) else column.cast(f.type) for column, f in zip(columns, shape, strict=True)]  # fmt: skip
    return pa.table(typed, schema=shape)


def read(path: Path) -> Rows:
    """The rows of a CSV file; NULL is null."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: None if v == "NULL" else v for k, v in row.items()} for row in csv.DictReader(file)]
