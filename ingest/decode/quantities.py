"""The open quantities of entries: what a catalog asks for beside the fields of a request (docs/quantities.md).

CloudEvents carry them in `data`, at the paths that meters name. Gateway lines carry them in fields that their source
names. They are typed from the bytes of the line: no number passes through a float.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode.framing import Lines
from ingest.decode.statements import Statements

COLUMNS = ("quantities", "attributes")  # of schemas.tables.EVENTS
_STEP = pa.struct([("parent", pa.string()), ("member", pa.string())])
_PROPERTIES = pa.schema(
    [
        ("kind", pa.string()),
        ("name", pa.string()),
        ("path", pa.string()),
        ("steps", pa.list_(_STEP)),
        ("types", pa.list_(pa.string())),
    ]
)


class EventProperty(NamedTuple):
    """A quantity or an attribute, and where entries carry it: the names of the members that lead to it."""

    kind: str  # quantity | attribute
    name: str
    members: tuple[str, ...]  # without quotes in them
    types: tuple[str, ...] | None = None  # of events; None: any


def of_fields(kind: str, named: Mapping[str, str]) -> list[EventProperty]:
    """Properties in fields of a JSON line, by their names; `/` leads into objects."""
    return [EventProperty(kind, name, tuple(path.split("/"))) for name, path in sorted(named.items())]


def of_data(kind: str, name: str, path: str, types: Iterable[str]) -> EventProperty:
    """A property in the data of CloudEvents of some types. `path` begins with `$`."""
    return EventProperty(kind, name, ("data", *path.split(".")[1:]), tuple(types))


class Quantities:
    """Reads the properties of entries, on the connection of a decoder."""

    def __init__(self, statements: Statements, properties: Iterable[EventProperty], *, are_events: bool) -> None:
        """`are_events`: the entries are CloudEvents. A line may be a list of them."""
        self._statements = statements
        self._are_events = are_events
        statements.bind(properties=pa.Table.from_pylist([_row(each) for each in properties], _PROPERTIES))

    def added(self, rows: pa.Table, framed: Lines) -> pa.Table:
        """`rows` (events.sql) with COLUMNS. A property that cannot be read gives an accepted entry a reason."""
        accepted = pa.array(np.flatnonzero(pc.is_null(rows["reason"]).to_numpy(zero_copy_only=False)))
        wanted = rows.select(["position", "item", "event_type", "line"]).take(accepted).append_column("entry", accepted)
        lists = framed.lines.select(["position", "line"])
        lists = lists.filter(pc.starts_with(lists["line"], "[")) if self._are_events else lists.slice(0, 0)
        self._statements.bind(accepted=wanted, lists=lists)
        read = self._statements.run("quantities")
        place = np.full(rows.num_rows, -1)
        place[read["entry"].to_numpy()] = np.arange(read.num_rows)
        found = read.take(pa.array(place, mask=place < 0))
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


def _row(each: EventProperty) -> dict[str, object]:
    """The row of a property in _PROPERTIES."""
    paths = ["".join(f'."{member}"' for member in each.members[:depth]) for depth in range(len(each.members) + 1)]
    steps = [{"parent": parent, "member": member} for parent, member in zip(paths, each.members, strict=False)]
    return {"kind": each.kind, "name": each.name, "path": paths[-1], "steps": steps, "types": each.types}
