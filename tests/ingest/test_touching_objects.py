"""JSON objects without newlines between them are lines of their own, wherever the text is cut into blocks."""

import io
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

from ingest.decode import documents
from ingest.decode.documents import LINE_BYTES_MAX
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder, SourceRules
from ingest.files.block_reader import frames, read_blocks
from ingest.files.buffers import Buffers
from tests.ingest.fixtures import OWNERS, kong, line


def texts(text: bytes, **how: bool) -> list[tuple[int, str]]:
    lines = split_lines(text, 0, **how).lines
    return list(zip(lines["position"].to_pylist(), lines["line"].to_pylist(), strict=True))


def test_objects_that_touch_are_lines_at_their_own_bytes() -> None:
    assert texts(b'{"a":1}{"b":{}}{}\nx\n{"c":[{}]}{"d":2}') == [
        (0, '{"a":1}'), (7, '{"b":{}}'), (15, "{}\n"), (18, "x\n"), (20, '{"c":[{}]}'), (30, '{"d":2}'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        b'{"path":"/a/{b}{c}"}\n', b'{"a":"}{","b":" : "}\n', b'{"a":"}{\\"b\\":1"}\n', b'{"a":"}{",":":"x"}\n', b'{"a":"\\\\}{\\"b\\":{"}\n',
        b'{"a":{"b":1}{"c":2}}\n', b'[{"a":1}{"b":2}]\n', b'{"a":1} {"b":2}\n', b'{"a":1}x{"b":2}\n', b'x{"a":1}{"b":2}\n', b'}{"a":1}{"b":2}\n',
    ],
)  # fmt: skip
def test_nothing_else_is_split(text: bytes) -> None:
    """A client writes braces into paths at will; objects inside others, or with anything between, are no lines."""
    assert texts(text) == [(0, text.decode())]


def test_a_broken_object_costs_no_other() -> None:
    assert [text for _, text in texts(b'{"a":1}{"b":2}{"c":')] == ['{"a":1}', '{"b":2}', '{"c":']
    assert texts(b'{"a":1}{"b":2}\n', apart=False) == [(0, '{"a":1}{"b":2}\n')]


@pytest.mark.parametrize("templates_from", [1, 1 << 30])
def test_they_are_read_as_they_would_be_on_lines(templates_from: int) -> None:
    """Also by the way that reads a template once, with the ids of their own."""
    records = [
        line(kong(f"id-{i % 40}", response__size=i, consumer={"id": "c-acme"} if i % 3 else None)) for i in range(120)
    ]
    found = []
    for end in (b"\n", b""):
        text = b"".join(record.rstrip(b"\n") + end for record in records)
        decoded = Decoder("kong", SourceRules("edge"), OWNERS, templates_from=templates_from).decode(
            split_lines(text, 0), "g"
        )
        found.append((decoded.events.drop_columns(["position"]).to_pylist(), decoded.refused["reason"].to_pylist()))
    assert found[0] == found[1]
    assert len(found[0][0]) == 80


@pytest.mark.parametrize("block_bytes", [16, 100, 1 << 20])
def test_a_text_without_newlines_is_cut_into_blocks_between_objects(block_bytes: int) -> None:
    """Firehose writes files of 128 MiB: as one line, they would be refused."""
    text = b"".join(b'{"n":%d,"s":"}{"}' % i for i in range(300))
    blocks = list(read_blocks(io.BytesIO(text), 0, Buffers(block_bytes), "x"))
    read = [
        record
        for part in blocks
        for _, record in texts(bytes(part.block[: len(part.block) if part.at_end else part.cut]))
    ]
    assert [json.loads(record)["n"] for record in read] == list(range(300))


def test_more_than_a_line_may_have_is_read(tmp_path: Path) -> None:
    one = b'{"n":"%s"}' % (b"x" * 1000)
    path = tmp_path / "firehose"
    path.write_bytes(one * (LINE_BYTES_MAX // 500))
    assert sum(framed.lines.num_rows for framed in frames(path)) == LINE_BYTES_MAX // 500
    assert not any(framed.unreadable.num_rows for framed in frames(path))


def test_where_objects_begin() -> None:
    assert documents.objects(b'{"a":1} \n{"b":"}{"}{') == [9, 19]
    assert documents.whole_objects(b'{"a":1}{"b":2}{"c"') == 14
    for mixed in (b'{"a":1}{"b":2}[3]', b'{"a":1}[3]{"b":2}', b"{] {}{}", b'{"a":1}{]{}'):
        assert documents.objects(mixed) == [], "a line with anything but objects is one entry"
    assert documents.whole_objects(b'{"a":1}') == documents.whole_objects(b"") == documents.whole_objects(b"x{}{}") == 0


DOCKER = '{"log":%s,"stream":"stdout","time":"2026-10-01T00:00:00.1Z"}\n'


def test_a_line_of_docker_is_what_was_logged() -> None:
    """Its json-file driver, the default, puts each line into a record."""
    logged = ['203.0.113.9 - - [x] "GET /ü HTTP/1.1" 200\n', '{"request":{"id":"a"}}\n', "\t\\\n"]
    wrapped = "".join(DOCKER % json.dumps(text) for text in logged).encode()
    assert [text for _, text in texts(wrapped)] == logged
    assert [position for position, _ in texts(b"first\n" + wrapped)][:2] == [0, 6]


@pytest.mark.parametrize(
    "text",
    [
        '{"log":"x"}\n',
        '{"log":1,"stream":"stdout","time":"t"}\n',
        '{"log":"x","stream":"else","time":"t"}\n',
        '{"log":"x","stream":"stdout"}\n',
        '{"log":"cut\n',
    ],
)
def test_other_records_with_a_log_stay(text: str) -> None:
    assert [found for _, found in texts(text.encode())] == [text]


@pytest.mark.parametrize("templates_from", [1, 1 << 30])
def test_json_in_docker_lines_is_read_like_json(templates_from: int) -> None:
    records = [line(kong(f"id-{i}")).decode() for i in range(60)]
    decoder = Decoder("kong", SourceRules("edge"), OWNERS, templates_from=templates_from)
    plain, inside = (
        decoder.decode(split_lines("".join(made).encode(), 0), "g").events
        for made in (records, [DOCKER % json.dumps(r) for r in records])
    )
    assert plain.drop_columns(["position"]).equals(inside.drop_columns(["position"]))
    assert pc.all(pc.equal(inside["partner_id"].cast("string"), "acme")).as_py()
