"""The open quantities of entries: what a catalog asks for beside the fields of a request (docs/quantities.md).

CloudEvents carry them in `data`, at the paths that meters name. Gateway lines carry them in fields that their source
names. They are typed from the bytes of the line: no number passes through a float.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode.framing import Lines
from ingest.decode.statements import Statements

COLUMNS = ("event_type", "quantities", "attributes")  # of schemas.tables.EVENTS
_PROPERTIES = pa.schema(
    [("kind", pa.string()), ("name", pa.string()), ("path", pa.string()), ("types", pa.list_(pa.string()))]
)


class EventProperty(NamedTuple):
    """A quantity or an attribute, and where entries carry it. `path` is a JSON path within the entry, without `$`."""

    kind: str  # quantity | attribute
    name: str
    path: str
    types: tuple[str, ...] | None = None  # of events; None: any


def of_fields(kind: str, named: Mapping[str, str]) -> list[EventProperty]:
    """Properties in fields of a JSON line, by their names; `/` leads into objects."""
    return [
        EventProperty(kind, name, "".join(f'."{part}"' for part in path.split("/")))
        for name, path in sorted(named.items())
    ]


def of_data(kind: str, name: str, path: str, types: Iterable[str]) -> EventProperty:
    """A property in the data of CloudEvents of some types. `path` begins with `$`."""
    return EventProperty(kind, name, '."data"' + "".join(f'."{part}"' for part in path.split(".")[1:]), tuple(types))


class Quantities:
    """Reads the properties of entries, on the connection of a decoder."""

    def __init__(self, statements: Statements, properties: Sequence[EventProperty], *, are_events: bool) -> None:
        """`are_events`: the entries are CloudEvents, which have a type."""
        self._statements = statements
        rows = [each._asdict() for each in properties]
        statements.bind(
            properties=pa.Table.from_pylist(rows, _PROPERTIES), typed=pa.table({"is_event": pa.array([are_events])})
        )

    def added(self, rows: pa.Table, framed: Lines) -> pa.Table:
        """`rows` (events.sql) with COLUMNS. A property that cannot be read gives an accepted entry a reason."""
        accepted = np.flatnonzero(pc.is_null(rows["reason"]).to_numpy(zero_copy_only=False))
        wanted = rows.select(["position", "item"]).take(pa.array(accepted))
        self._statements.bind(accepted=wanted, lines=framed.lines)
        read = self._statements.run("quantities")
        at = np.full(rows.num_rows, -1)
        at[accepted] = np.arange(len(accepted))
        place = pa.array(at, mask=at < 0)
        found = read.take(place)
        for name in COLUMNS:
            rows = rows.append_column(name, found[name].cast(pa.string()))
        for name in ("reason", "detail"):
            column = pc.coalesce(rows[name], found[name].cast(rows[name].type))
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
        return rows


def none(rows: pa.Table) -> pa.Table:
    """`rows` with COLUMNS, which are null."""
    for name in COLUMNS:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows
