"""Messages of `usage.events` and `usage.dead` as ingest writes them, a few plain entries each."""

from collections.abc import Iterable

import pyarrow as pa

from schemas.kafka import wire
from schemas.kafka.wire import Headers
from schemas.log import Origin
from schemas.tables import DEAD, FRESH_EVENTS
from tests.aggregate.fixtures import PLAIN, event, refusal


def events_message(generation: str, at: range, ids: Iterable[str]) -> tuple[bytes, Headers]:
    """Value and headers: events that stood at `at` in `generation`, one each."""
    rows = [event(name, generation=generation, position=position) for name, position in zip(ids, at, strict=True)]
    value = wire.encoded(pa.Table.from_pylist(rows, PLAIN).cast(FRESH_EVENTS))
    return value, wire.headers(wire.EVENTS_3, [Origin(generation, at.start, at.stop)])


def dead_message(generation: str, at: range) -> tuple[bytes, Headers]:
    """Value and headers: refusals that stood at `at`."""
    rows = [refusal(generation=generation, position=position) for position in at]
    value = wire.encoded(pa.Table.from_pylist(rows, DEAD.schema))
    return value, wire.headers(wire.DEAD_2, [Origin(generation, at.start, at.stop)])
