"""Lines to events and dead letters, one SQL pipeline over Arrow tables: format → normalise → attribute.

Total: every entry of every line comes out once, as an event or as a refusal with a reason from the closed list.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest import formats
from ingest.framing import LINES, UNREADABLE, Lines
from schemas.tables import CODED, DEAD, FRESH_EVENTS

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
LIMITS = pa.schema([("position", pa.int64()), ("earliest_us", pa.int64()), ("latest_us", pa.int64())])
NO_LIMITS = LIMITS.empty_table()
_NO_PARTS = pa.schema([("position", pa.int64()), ("item", pa.int32()), ("line", pa.string())]).empty_table()
PARTNERS = pa.schema([("partner_id", pa.string()), ("suspended", pa.bool_())])


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
    """`events` as schemas.tables.FRESH_EVENTS, `refused` as schemas.tables.DEAD; both in log order."""

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

    def decode(self, framed: Lines, generation: str, limits: pa.Table = NO_LIMITS) -> Decoded:
        """Events and refusals of `framed`, which belongs to file generation `generation`.

        `limits`, as LIMITS: the times a line may lie in, [earliest, latest), where lines were received at different times.
        """
        _set(self._con, "generation", generation)
        self._con.register("lines", framed.lines)
        self._con.register("unreadable", framed.unreadable)
        self._con.register("limits", limits)
        rows = _in_order(self._con.sql(_sql("events")).to_arrow_table())
        constants = {"source": self._source, "generation": generation}
        events = _shaped(rows, FRESH_EVENTS, constants)  # coded first: then there is less to filter
        accepted = pc.is_null(rows["reason"])
        if pc.all(accepted).as_py():
            return Decoded(events, DEAD.schema.empty_table())
        refused = rows.filter(pc.invert(accepted))
        touched = pc.is_in(framed.lines["position"], value_set=pc.unique(refused["position"]))
        self._con.register("lines", framed.lines.filter(touched))
        self._con.register("refused", refused)
        several = bool((rows["item"].to_numpy() > 0).any())
        self._con.register("parts", self._con.sql(_sql("parts")).to_arrow_table() if several else _NO_PARTS)
        letters = self._con.sql(_sql("refuse")).to_arrow_table()
        return Decoded(events.filter(accepted), _shaped(letters, DEAD.schema, constants))


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
    con.register("limits", NO_LIMITS)
    con.register("credentials", CREDENTIALS.empty_table())
    con.register("partners", PARTNERS.empty_table())
    for view, statement in (
        ("entries", formats.statement(format_name)),
        ("normalised", _sql("normalise")),
        ("attributed", _sql("attribute")),
    ):
        con.execute(f"CREATE TEMP VIEW {view} AS {statement}")  # three names of ours, three files of ours
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


def _shaped(rows: pa.Table, schema: pa.Schema, constants: Mapping[str, str]) -> pa.Table:
    """The columns of `schema` in order, coded where it says so; those of `constants` hold one value."""
    columns = []
    for field in schema:
        name = field.name
        column = _repeated(constants[name], rows.num_rows) if name in constants else rows[name]
        if field.type == CODED and not pa.types.is_dictionary(column.type):
            column = pc.dictionary_encode(column)
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def _repeated(value: str, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value], pa.string()))


@cache
def _sql(name: str) -> str:
    return resources.files("ingest.sql").joinpath(f"{name}.sql").read_text()
