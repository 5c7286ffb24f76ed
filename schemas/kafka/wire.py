"""What stands in a message of `usage.events` and `usage.dead`: an Arrow table as an IPC stream, and headers about it.

Headers: `schema` names shape and version; `origins` lists as JSON `[generation, from, to]` the ranges of `gateway.access`
that the message covers: it holds everything of them that belongs into its partition. `usage.dead` has a header `ingested`,
too: what was read, entries counted before parsing (schemas.tables.INGESTED). A reader knows the versions in READABLE, and
gives the rows of each the columns of today: what an older version has not is null.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.log import Origin
from schemas.tables import DEAD, FRESH_EVENTS, INGESTED

EVENTS_1, EVENTS_2 = "tollbook.events/1", "tollbook.events/2"
DEAD_1, DEAD_2 = "tollbook.dead/1", "tollbook.dead/2"
OF_EVENTS = (EVENTS_1, EVENTS_2)
READABLE: Mapping[str, pa.Schema] = {
    EVENTS_1: FRESH_EVENTS,
    EVENTS_2: FRESH_EVENTS,
    DEAD_1: DEAD.schema,
    DEAD_2: DEAD.schema,
}
_LATER: Mapping[str, tuple[str, ...]] = {
    EVENTS_1: ("outside",),
    DEAD_1: ("credential",),
}  # columns that came after a version
# In a stream every column is packed by itself, which takes thrice as long as all else of a small one: those Kafka packs, as a whole.
# A large one must fit into a message, whatever it holds.
_SMALL, _LARGE = pa.ipc.IpcWriteOptions(), pa.ipc.IpcWriteOptions(compression="lz4")
_LARGE_BYTES = 1 << 20
_OFFSET_MAX = (1 << 63) - 1

Headers = Sequence[tuple[str, bytes]]


class BadMessage(Exception):
    """The message is none of ours, or of a version this program does not know. It is never passed over: halt, and say so."""


class UnreadableHeaders(Exception):
    """The name of a header is no UTF-8: the client library cannot say what the headers are."""


class _WithHeaders(Protocol):
    def headers(self) -> Headers | None: ...


class Message(NamedTuple):
    """A message, read."""

    schema: str
    rows: pa.Table
    origins: tuple[Origin, ...]
    ingested: pa.Table


def encoded(rows: pa.Table) -> bytes:
    """A table as the value of a message. The producer packs messages (`compression.type`)."""
    sink = pa.BufferOutputStream()
    options = _LARGE if rows.nbytes >= _LARGE_BYTES else _SMALL
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def headers(schema: str, origins: Sequence[Origin], ingested: pa.Table | None = None) -> list[tuple[str, bytes]]:
    """The headers of a message."""
    made = [("schema", schema.encode()), ("origins", json.dumps(origins).encode())]
    return made if ingested is None else [*made, ("ingested", encoded(ingested))]


def headers_of(message: _WithHeaders) -> Headers | None:
    """The headers of a message of Kafka. Raises UnreadableHeaders."""
    try:
        return message.headers()
    except (SystemError, UnicodeDecodeError) as exc:  # confluent-kafka 2 reports a name that is no UTF-8 as the former
        raise UnreadableHeaders("the name of a header is not UTF-8") from exc


def decoded(value: bytes | None, given: Headers | None) -> Message:
    """The message of a value and its headers. Raises BadMessage, which says what is wrong with it."""
    named = dict(given or [])
    schema = (named.get("schema") or b"").decode(errors="backslashreplace")
    if schema not in READABLE:
        raise BadMessage(
            f"schema {schema[:40]!r} is not known (known: {', '.join(READABLE)}); if a newer ingest wrote it, upgrade this worker; "
            f"if something else writes to this topic, stop it"
        )
    try:
        origins = tuple(_origin(*said) for said in json.loads(named.get("origins") or b""))
        rows = _table(value or b"", READABLE[schema], _LATER.get(schema, ()))
        ingested = _table(named["ingested"], INGESTED.schema) if "ingested" in named else INGESTED.schema.empty_table()
    except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException, OSError) as exc:
        raise BadMessage(f"it is no batch ({exc}); stop what else writes to this topic") from exc
    return Message(schema, rows, origins, ingested)


def _origin(name: object, start: object, end: object) -> Origin:
    """Raises TypeError, ValueError: a name and two offsets, and nothing that only looks like them."""
    if not (isinstance(name, str) and type(start) is int and type(end) is int):
        raise TypeError("an origin is a name and two numbers")
    if not 0 <= start <= end <= _OFFSET_MAX:
        raise ValueError(f"an origin from {start} to {end}")
    return Origin(name, start, end)


def _table(value: bytes, schema: pa.Schema, later: Sequence[str] = ()) -> pa.Table:
    rows = pa.ipc.open_stream(value).read_all().cast(pa.schema([f for f in schema if f.name not in later]))
    for name in later:
        at = schema.get_field_index(name)
        rows = rows.add_column(at, schema.field(at), pa.nulls(rows.num_rows, schema.field(at).type))
    return rows
