"""Messages of `usage.events` and `usage.dead`: an Arrow table as an IPC stream, with headers.

The header `schema` names shape and version. The header `origins` is a JSON list of `[generation, from, to]`: the ranges
of `gateway.access` that the message covers. The message holds all their entries that belong to its partition.
`usage.dead` also has a header `ingested`: what was read, with entries counted before parsing (schemas.tables.INGESTED).
Readers accept the versions in READABLE; columns that an older version lacks are null.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.columns import CARRIED
from schemas.log import Origin
from schemas.tables import DEAD, FRESH_EVENTS, INGESTED

EVENTS_1, EVENTS_2, EVENTS_3 = "tollbook.events/1", "tollbook.events/2", "tollbook.events/3"
DEAD_1, DEAD_2 = "tollbook.dead/1", "tollbook.dead/2"
OF_EVENTS = (EVENTS_1, EVENTS_2, EVENTS_3)
READABLE: Mapping[str, pa.Schema] = {
    EVENTS_1: FRESH_EVENTS,
    EVENTS_2: FRESH_EVENTS,
    EVENTS_3: FRESH_EVENTS,
    DEAD_1: DEAD.schema,
    DEAD_2: DEAD.schema,
}
# Columns that were added after a version, in their order.
_LATER: Mapping[str, tuple[str, ...]] = {
    EVENTS_1: ("outside", *CARRIED),
    EVENTS_2: CARRIED,
    DEAD_1: ("credential",),
}
# Arrow compresses each column separately, which would triple the time to encode a small table. Kafka compresses small
# messages as a whole. A large table is compressed here, so that it fits into a message.
_SMALL, _LARGE = pa.ipc.IpcWriteOptions(), pa.ipc.IpcWriteOptions(compression="lz4")
_LARGE_BYTES = 1 << 20
_OFFSET_MAX = (1 << 63) - 1

Headers = Sequence[tuple[str, bytes]]


class BadMessage(Exception):
    """The message is not a batch of Tollbook, or of an unknown version. Never skip it: halt."""


class UnreadableHeaders(Exception):
    """The name of a header is not UTF-8, so the client library cannot return the headers."""


class _WithHeaders(Protocol):
    def headers(self) -> Headers | None: ...


class Message(NamedTuple):
    """A decoded message."""

    schema: str
    rows: pa.Table
    origins: tuple[Origin, ...]
    ingested: pa.Table


def encoded(rows: pa.Table) -> bytes:
    """A table as the value of a message. The producer compresses messages (`compression.type`)."""
    sink = pa.BufferOutputStream()
    options = _LARGE if rows.nbytes >= _LARGE_BYTES else _SMALL
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def headers(schema: str, origins: Sequence[Origin], ingested: pa.Table | None = None) -> list[tuple[str, bytes]]:
    """The headers for a new message."""
    made = [("schema", schema.encode()), ("origins", json.dumps(origins).encode())]
    return made if ingested is None else [*made, ("ingested", encoded(ingested))]


def headers_of(message: _WithHeaders) -> Headers | None:
    """The headers of a Kafka message. Raises UnreadableHeaders."""
    try:
        return message.headers()
    except (SystemError, UnicodeDecodeError) as exc:  # confluent-kafka 2 raises SystemError for such a name
        raise UnreadableHeaders("the name of a header is not UTF-8") from exc


def decoded(value: bytes | None, given: Headers | None) -> Message:
    """The message decoded from a value and headers. Raises BadMessage, which says what is wrong."""
    named = dict(given or [])
    schema = (named.get("schema") or b"").decode(errors="backslashreplace")
    if schema not in READABLE:
        raise BadMessage(
            f"schema {schema[:40]!r} is unknown (known: {', '.join(READABLE)}); if a newer ingest wrote it, upgrade this worker; "
            f"if another program writes to this topic, stop it"
        )
    try:
        origins = tuple(_origin(*fields) for fields in json.loads(named.get("origins") or b""))
        rows = _table(value or b"", READABLE[schema], _LATER.get(schema, ()))
        ingested = _table(named["ingested"], INGESTED.schema) if "ingested" in named else INGESTED.schema.empty_table()
    except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException, OSError) as exc:
        raise BadMessage(f"the message is not a batch ({exc}); stop other programs that write to this topic") from exc
    return Message(schema, rows, origins, ingested)


def _origin(name: object, start: object, end: object) -> Origin:
    """The origin of a name and two offsets. Raises TypeError or ValueError for anything else."""
    if not (isinstance(name, str) and type(start) is int and type(end) is int):
        raise TypeError("an origin must be a name and two numbers")
    if not 0 <= start <= end <= _OFFSET_MAX:
        raise ValueError(f"an origin cannot range from {start} to {end}")
    return Origin(name, start, end)


def _table(value: bytes, schema: pa.Schema, later: Sequence[str] = ()) -> pa.Table:
    rows = pa.ipc.open_stream(value).read_all().cast(pa.schema([f for f in schema if f.name not in later]))
    for name in later:
        at = schema.get_field_index(name)
        rows = rows.add_column(at, schema.field(at), pa.nulls(rows.num_rows, schema.field(at).type))
    return rows
