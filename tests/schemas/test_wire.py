"""Messages between ingest and land: what is written is read back, and whatever else stands in a topic is a
BadMessage, never a crash.
"""

import contextlib
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.kafka import wire
from schemas.kafka.wire import BadMessage, Headers
from schemas.log import Origin
from schemas.tables import DEAD, FRESH_EVENTS, INGESTED
from tests.kafka.messages import dead_message, events_message

EVENTS, HEADERS = events_message("g", range(3), ["a", "b", "c"])
SCHEMA = HEADERS[0]


def test_a_message_is_read_as_it_was_written() -> None:
    """Rows, the ranges they are all of, and what ingest says it read."""
    read = wire.decoded(EVENTS, HEADERS)
    assert read.rows.schema == FRESH_EVENTS
    assert read.rows["event_id"].to_pylist() == ["a", "b", "c"]
    assert read.origins == (Origin("g", 0, 3),)
    assert read.ingested.num_rows == 0
    ingested = pa.Table.from_pylist(
        [{"source": "edge", "generation": "g", "from_offset": 0, "records": 3}], INGESTED.schema
    )
    value, headers = dead_message("g", range(2))
    letter = wire.decoded(value, [*headers, ("ingested", wire.encoded(ingested))])
    assert letter.rows.schema == DEAD.schema
    assert letter.ingested == ingested


def test_a_large_message_is_packed_so_that_it_fits_and_a_small_one_is_left_to_kafka() -> None:
    """One request repeated all over a record: its copies go to one partition, in one message."""
    one = wire.decoded(EVENTS, HEADERS).rows.slice(0, 1)
    many = pa.concat_tables([one] * 100_000).combine_chunks()
    assert many.nbytes > 8 << 20, "more than a topic takes"
    assert len(wire.encoded(many)) < 1 << 20
    assert wire.decoded(wire.encoded(many), HEADERS).rows == many
    few = many.slice(0, 500)
    assert few.nbytes < len(wire.encoded(few)) < few.nbytes + 8_192


@pytest.mark.parametrize(
    ("version", "lacking"),
    [(1, ["outside", "event_type", "quantities", "attributes"]), (2, ["event_type", "quantities", "attributes"])],
)
def test_a_message_of_an_earlier_version_is_still_read(version: int, lacking: list[str]) -> None:
    """Land is upgraded while messages of the old ingest wait in the topic: what they do not say is null."""
    rows = wire.decoded(EVENTS, HEADERS).rows
    old = wire.encoded(rows.drop_columns(lacking))
    read = wire.decoded(old, [("schema", b"tollbook.events/%d" % version), HEADERS[1]])
    assert read.schema in wire.OF_EVENTS
    assert read.rows.schema == FRESH_EVENTS
    assert all(read.rows[name].null_count == 3 for name in lacking)
    assert read.rows.drop_columns(lacking) == rows.drop_columns(lacking)


def test_refusals_of_the_first_version_are_still_read() -> None:
    """They do not say which credential was refused."""
    value, headers = dead_message("g", range(2))
    rows = wire.decoded(value, headers).rows
    read = wire.decoded(wire.encoded(rows.drop_columns(["credential"])), [("schema", b"tollbook.dead/1"), *headers[1:]])
    assert read.rows.schema == DEAD.schema
    assert read.rows["credential"].null_count == read.rows.num_rows


@pytest.mark.parametrize(
    ("value", "headers", "why"),
    [
        pytest.param(EVENTS, None, "schema '' is unknown", id="no headers"),
        pytest.param(EVENTS, [], "schema '' is unknown", id="empty headers"),
        pytest.param(EVENTS, [("schema", b"tollbook.events/4"), HEADERS[1]], "events/4' is unknown", id="a later version"),
        pytest.param(EVENTS, [("schema", b"\xff\x00"), HEADERS[1]], "is unknown", id="no text"),
        pytest.param(EVENTS, [("schema", None), HEADERS[1]], "schema '' is unknown", id="a header without a value"),
        pytest.param(EVENTS, [SCHEMA], "is not a batch", id="no origins"),
        pytest.param(EVENTS, [SCHEMA, ("origins", b"{")], "is not a batch", id="origins that are no JSON"),
        pytest.param(EVENTS, [SCHEMA, ("origins", b'[["g", 0]]')], "is not a batch", id="origins too short"),
        pytest.param(EVENTS, [SCHEMA, ("origins", b'[["g", 0, Infinity]]')], "is not a batch", id="no end"),
        pytest.param(EVENTS, [SCHEMA, ("origins", b"7")], "is not a batch", id="origins that are a number"),
        pytest.param(EVENTS, [SCHEMA, ("origins", b"[" * 100_000)], "is not a batch", id="origins a hundred thousand deep"),
        pytest.param(None, HEADERS, "is not a batch", id="a tombstone"),
        pytest.param(b"", HEADERS, "is not a batch", id="no value"),
        pytest.param(b"hello", HEADERS, "is not a batch", id="text"),
        pytest.param(EVENTS[: len(EVENTS) // 2], HEADERS, "is not a batch", id="half of it"),
        pytest.param(dead_message("g", range(3))[0], HEADERS, "is not a batch", id="refusals among events"),
        pytest.param(EVENTS, [*HEADERS, ("ingested", b"x")], "is not a batch", id="a broken account of what was read"),
    ],
)  # fmt: skip
def test_what_is_no_message_of_ours_is_named(value: bytes | None, headers: Headers | None, why: str) -> None:
    """Each is something that another program, or a version to come, might write."""
    with pytest.raises(BadMessage, match=why):
        wire.decoded(value, headers)


@given(st.binary(max_size=200), st.integers(0, len(EVENTS)), st.integers(0, len(EVENTS)))
def test_no_bytes_end_the_reader_otherwise(junk: bytes, start: int, end: int) -> None:
    """A few bytes changed on the way to a disk: it is read, or it is refused; a worker that crashes on it can never
    go on.
    """
    value = EVENTS[: min(start, end)] + junk + EVENTS[max(start, end) :]
    for headers in (HEADERS, [SCHEMA, ("origins", junk)]):
        with contextlib.suppress(BadMessage):
            wire.decoded(value, headers)


@pytest.mark.integration
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=8))
def test_no_origins_end_the_reader_otherwise(origins: object) -> None:
    """Whatever JSON stands in the header."""
    with contextlib.suppress(BadMessage):
        wire.decoded(EVENTS, [SCHEMA, ("origins", json.dumps(origins).encode())])
