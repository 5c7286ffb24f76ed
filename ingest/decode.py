"""Lines to events and dead letters, one SQL pipeline over Arrow tables: format → normalise → attribute.

Total: every entry of every line comes out once, as an event or as a refusal with a reason from the closed list.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ingest import formats
from ingest.framing import LINES, UNREADABLE, Lines
from schemas.tables import DEAD, EVENTS

CREDENTIALS = pa.schema(
    [
        ("kind", pa.string()),
        ("value", pa.string()),
        ("partner_id", pa.string()),
        ("suspended", pa.bool_()),
        ("from_us", pa.int64()),
        ("to_us", pa.int64()),
    ]
)
PARTNERS = pa.schema([("partner_id", pa.string()), ("suspended", pa.bool_())])
_EVENT_COLUMNS = [f for f in EVENTS.schema if f.name not in EVENTS.partition_by]
_EVENTS = pa.schema(_EVENT_COLUMNS)


class SourceRules(NamedTuple):
    """What the catalog says of one source. Times in microseconds since the epoch, None: no limit."""

    source: str
    may_tag: bool = False
    partner_field: str | None = None  # top-level field of the log line that names the partner
    earliest_us: int | None = None
    latest_us: int | None = None


class Attribution(NamedTuple):
    """Who owns which credential: tables CREDENTIALS and PARTNERS."""

    credentials: pa.Table = CREDENTIALS.empty_table()
    partners: pa.Table = PARTNERS.empty_table()


class Decoded(NamedTuple):
    """`events` as schemas.tables.EVENTS without event_day, `refused` as schemas.tables.DEAD; both in log order."""

    events: pa.Table
    refused: pa.Table


class Decoder:
    """One format, one source, one thread: owns a DuckDB connection."""

    def __init__(self, format_name: str, rules: SourceRules, attribution: Attribution) -> None:
        self._con = _pipeline(format_name)
        self._con.register("credentials", attribution.credentials)
        self._con.register("partners", attribution.partners)
        path = None if rules.partner_field is None else f'$."{rules.partner_field}"'
        for name, value in (
            ("may_tag", rules.may_tag),
            ("partner_path", path),
            ("earliest_us", rules.earliest_us),
            ("latest_us", rules.latest_us),
            ("generation", ""),
        ):
            _set(self._con, name, value)
        self._source = rules.source

    def decode(self, framed: Lines, generation: str) -> Decoded:
        """Events and refusals of `framed`, which belongs to file generation `generation`."""
        _set(self._con, "generation", generation)
        self._con.register("lines", framed.lines)
        self._con.register("unreadable", framed.unreadable)
        rows = _in_order(self._con.sql(_sql("attribute")).to_arrow_table())
        accepted = pc.is_null(rows["reason"])
        if pc.all(accepted).as_py():
            return Decoded(self._events(rows, generation), DEAD.schema.empty_table())
        refused = rows.filter(pc.invert(accepted))
        return Decoded(self._events(rows.filter(accepted), generation), self._dead_letters(framed, refused, generation))

    def _events(self, rows: pa.Table, generation: str) -> pa.Table:
        return _with_constants(rows, _EVENTS, source=self._source, generation=generation)

    def _dead_letters(self, framed: Lines, refused: pa.Table, generation: str) -> pa.Table:
        touched = pc.is_in(framed.lines["position"], value_set=pc.unique(refused["position"]))
        self._con.register("lines", framed.lines.filter(touched))
        self._con.register("refused", refused)
        letters = self._con.sql(_sql("refuse")).to_arrow_table()
        return _with_constants(letters, DEAD.schema, source=self._source, generation=generation)


class Parser:
    """One format without a catalog: what `python -m ingest parse` shows."""

    def __init__(self, format_name: str) -> None:
        self._con = _pipeline(format_name)

    def parse(self, framed: Lines) -> pa.Table:
        """Normalised fields of every entry, in order; columns of ingest/sql/parse.sql."""
        self._con.register("lines", framed.lines)
        self._con.register("unreadable", framed.unreadable)
        return self._con.sql(_sql("parse")).to_arrow_table()


def _pipeline(format_name: str) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(
        config={"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    con.execute("SET TimeZone = 'UTC'")
    con.execute(_sql("macros"))
    con.register("lines", LINES.empty_table())
    con.register("unreadable", UNREADABLE.empty_table())
    for view, statement in (("entries", formats.statement(format_name)), ("normalised", _sql("normalise"))):
        con.execute(f"CREATE TEMP VIEW {view} AS {statement}")  # two names of ours, two files of ours
    return con


def _set(con: duckdb.DuckDBPyConnection, name: str, value: str | int | bool | None) -> None:  # noqa: FBT001
    con.execute(f"SET VARIABLE {name} = ?", [value])


def _in_order(rows: pa.Table) -> pa.Table:
    """By position and item. Arrays and joins may have mixed the order; mostly they have not."""
    position, item = rows["position"].to_numpy(), rows["item"].to_numpy()
    step = position[1:] - position[:-1]
    if bool(((step > 0) | ((step == 0) & (item[1:] > item[:-1]))).all()):
        return rows
    return rows.sort_by([("position", "ascending"), ("item", "ascending")])


def _with_constants(rows: pa.Table, schema: pa.Schema, **constants: str) -> pa.Table:
    columns = [pa.repeat(constants[n], rows.num_rows) if n in constants else rows[n] for n in schema.names]
    return pa.table(columns, names=schema.names).cast(schema)


@cache
def _sql(name: str) -> str:
    return resources.files("ingest.sql").joinpath(f"{name}.sql").read_text()
