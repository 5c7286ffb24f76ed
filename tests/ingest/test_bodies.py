"""Bodies of HTTP requests: an event a line whatever the JSON looks like, and never more memory than a body may take."""

import gzip
import json
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from ingest.http.bodies import (
    EXPANDED_BYTES_MAX,
    BadEncoding,
    BodyShape,
    MalformedBody,
    TooLarge,
    Unpacker,
    attributes_of,
    event_of,
    lines_of,
)

TEXTS = st.text(st.sampled_from('ab"\\[]{},:\n\r\t \u2028é'), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.text(st.sampled_from(" \t\r\n"), max_size=3)


def unpacked(encoding: str, *pieces: bytes) -> bytes:
    unpacker = Unpacker(encoding)
    for piece in pieces:
        unpacker.feed(piece)
    return unpacker.text()


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]), BLANKS)
def test_an_array_becomes_its_elements_a_line_each(values: list[Any], indent: int | None, blanks: str) -> None:
    """Brackets, commas and backslashes in strings must not split an event."""
    body = blanks + json.dumps(values, indent=indent, ensure_ascii=False) + blanks
    found = [line for line in lines_of(body.encode(), BodyShape.EVENTS).split(b"\n") if line.strip()]
    assert [json.loads(line) for line in found] == values
    assert all(line[:1].strip() for line in found)  # formats look at the first character


@given(VALUES, st.sampled_from([None, 2]), BLANKS)
def test_one_event_becomes_one_line(value: Any, indent: int | None, blanks: str) -> None:
    """A pretty-printed event is one event, not one per line."""
    body = blanks + json.dumps(value, indent=indent) + blanks
    found = [line for line in lines_of(body.encode(), BodyShape.EVENT).split(b"\n") if line.strip()]
    assert [json.loads(line) for line in found] == [value]


@given(st.lists(VALUES, max_size=4), st.binary(max_size=30), st.data())
def test_any_bytes_are_lines_or_broken(values: list[Any], noise: bytes, data: st.DataObject) -> None:
    """Total: no other exception is raised, and no byte of the body moves."""
    whole = json.dumps(values).encode()
    at = data.draw(st.integers(0, len(whole)))
    body = whole[:at] + noise + whole[at:]
    for shape in BodyShape:
        try:
            text = lines_of(body, shape)
        except MalformedBody:
            continue
        assert len(text) - len(body) in {0, 1}
        assert text.endswith(b"\n")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[1,,2]", b"[,1]", b"[1,]", b"[1,%b,2]" % (b" " * 99), b"[1", b"[1]]", b"[1] x", b"x[1]", b"[[]", b'["]'],
)  # fmt: skip
def test_what_is_no_array_is_refused_as_a_whole(body: bytes) -> None:
    """A missing element would shift the index of every later event; a truncated body may end anywhere."""
    with pytest.raises(MalformedBody):
        lines_of(body, BodyShape.EVENTS)


def test_a_newline_in_a_text_is_not_mended() -> None:
    """JSON forbids it. Replaced by a space, the string would be another one, and valid."""
    (line,) = lines_of(b'{"id":"a\nb"}', BodyShape.EVENT).splitlines()
    with pytest.raises(ValueError, match="control character"):
        json.loads(line)


def test_a_byte_order_mark_is_passed_over() -> None:
    """Row 9: the same on every path."""
    for shape, body in ((BodyShape.LINES, b"{}\n"), (BodyShape.EVENT, b"{}"), (BodyShape.EVENTS, b"[{}]")):
        assert lines_of(b"\xef\xbb\xbf" + body, shape).split() == [b"{}"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_a_packed_body_is_unpacked_in_pieces(pack: Any) -> None:
    """Row 72; several compressed streams in a row are one text, as gzip and zstd define it."""
    name = "gzip" if pack is gzip.compress else "zstd"
    packed = pack(b"one") + pack(b"two")
    assert unpacked(name, *(packed[i : i + 1] for i in range(len(packed)))) == b"onetwo"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", b"not packed", id="not gzip"),
        pytest.param("zstd", b"not packed", id="not zstd"),
        pytest.param("gzip", gzip.compress(b"x" * 999)[:-3], id="gzip cut"),
        pytest.param("zstd", zstd.compress(b"x" * 999)[:-3], id="zstd cut"),
        pytest.param("gzip", gzip.compress(b"x") + b"tail", id="gzip with a tail"),
        pytest.param("gzip", gzip.compress(b"x" * 99)[:-8] + bytes(8), id="gzip with a wrong check"),
        pytest.param("gzip", zlib.compress(b"x"), id="zlib called gzip"),
    ],
)
def test_a_damaged_body_is_refused(encoding: str, body: bytes) -> None:
    """A truncated body must not be taken for a short one."""
    with pytest.raises(BadEncoding):
        unpacked(encoding, body)


def test_an_unknown_encoding_is_refused() -> None:
    """Also two at once: double compression is a bomb."""
    for encoding in ("br", "gzip, gzip", "deflate"):
        with pytest.raises(BadEncoding):
            Unpacker(encoding)


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_stops_at_the_limit(encoding: str) -> None:
    """Row 73, S21: 1 GiB of zeros in 1 MB. Memory stays below twice the limit."""
    packer: Any = zlib.compressobj(9, wbits=31) if encoding == "gzip" else zstd.ZstdCompressor()
    bomb = (
        b"".join(packer.compress(bytes(1 << 20)) for _ in range(200 if encoding == "gzip" else 1000)) + packer.flush()
    )
    unpacker = Unpacker(encoding)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        _feed(unpacker, bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * EXPANDED_BYTES_MAX + (1 << 20)
    assert unpacker.size == EXPANDED_BYTES_MAX + 1


def _feed(unpacker: Unpacker, body: bytes) -> None:
    for i in range(0, len(body), 65_536):
        unpacker.feed(body[i : i + 65_536])


def test_a_body_may_be_exactly_as_long_as_the_limit() -> None:
    """The edge, from both sides."""
    assert len(unpacked("identity", bytes(EXPANDED_BYTES_MAX))) == EXPANDED_BYTES_MAX
    with pytest.raises(TooLarge):
        unpacked("identity", bytes(EXPANDED_BYTES_MAX + 1))


def test_a_zstd_frame_may_not_ask_for_a_large_window() -> None:
    """Otherwise a header of ten bytes would allocate 128 MiB per request."""
    header = struct.pack("<I", 0xFD2FB528) + bytes([0b0000_0000, (27 - 10) << 3])  # no size, window of 128 MiB
    with pytest.raises(BadEncoding):
        unpacked("zstd", header + bytes([1, 0, 0]))
    assert unpacked("zstd", zstd.compress(b"x", options={zstd.CompressionParameter.window_log: 23})) == b"x"


def test_binary_mode_is_the_same_event() -> None:
    """CloudEvents: attributes in headers, percent-encoded; the body is the data, byte for byte."""
    headers = {
        "ce-id": "a%20b",
        "ce-specversion": "1.0",
        "ce-source": "s",
        "content-type": "application/json",
        "x": "y",
    }
    attributes = attributes_of(headers)
    text = event_of(attributes, b'{"n": 9007199254740993}')
    assert json.loads(text) == {"id": "a b", "specversion": "1.0", "source": "s", "data": {"n": 9007199254740993}}
    assert json.loads(event_of(attributes, b" ")) == {"id": "a b", "specversion": "1.0", "source": "s"}


@pytest.mark.parametrize("data", [b'{}, "subject": "c-other"', b"{", b"[" * 100_000, b"\xff"])
def test_data_of_binary_mode_cannot_leave_its_place(data: bytes) -> None:
    """Data injected into the event could name another customer."""
    with pytest.raises(MalformedBody):
        event_of({"id": "a"}, data)
