"""No input ends a process: every block, record and header is read, or refused with a reason from the closed list, once templates are warm."""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.decode import formats
from ingest.decode.framing import Lines, split_lines
from ingest.decode.pipeline import Decoder, SourceRules
from ingest.http.verdicts import RequestLines, judge
from ingest.kafka import record_groups, records
from ingest.kafka.record_groups import Records
from schemas.catalog.records import Catalog
from schemas.kafka.topics import MESSAGE_BYTES_MAX
from schemas.reasons import Reason
from tests.ingest import any_input
from tests.ingest.fixtures import OWNERS, T0_MS
from tests.long import LONG, amount
from tollbook.workers import ingest

pytestmark = pytest.mark.integration

DAY_US = 86_400_000_000
GENERATION = "g"
_given = settings(
    max_examples=60 if LONG else 5,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@cache
def warm(format_name: str) -> Decoder:
    """A decoder that looks for lines of one template in any block, however short, and knows some already."""
    decoder = Decoder(format_name, SourceRules("edge"), OWNERS, templates_from=0)
    good = b"\n".join(any_input.TEXTS.get(format_name, []))
    for _ in range(2):
        decoder.decode(split_lines(good + b"\n", 0), GENERATION)
    return decoder


def _empty_batches(framed: Lines) -> set[int]:
    """Lines that may be an envelope, or an array, with nothing in it: they hold no entry."""
    rows = framed.lines.to_pylist()
    return {row["position"] for row in rows if re.search(r"\[\s*\]|\{\s*\}", row["line"])}


@pytest.mark.sampled(keep=6)
@pytest.mark.parametrize("format_name", formats.names())
@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n \n\t\n", b"\xef\xbb\xbf\n"], ids=repr)
def test_a_block_without_lines_is_nothing_once_templates_are_warm(format_name: str, text: bytes) -> None:
    """A blank line in a log that is followed is a block of its own: it ended the process in the formats with templates."""
    decoded = warm(format_name).decode(split_lines(text, 0), GENERATION)
    assert (decoded.events.num_rows, decoded.refused.num_rows) == (0, 0)


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize("format_name", formats.names())
def test_every_line_of_any_block_comes_out(format_name: str) -> None:
    """As events, or as refusals with a reason; blank lines as nothing."""

    @_given
    @given(st.lists(any_input.blocks(format_name), min_size=1, max_size=3))
    def check(blocks: list[bytes]) -> None:
        for text in blocks:
            framed = split_lines(text, 0)
            decoded = warm(format_name).decode(framed, GENERATION)
            found = {*decoded.events["position"].to_pylist(), *decoded.refused["position"].to_pylist()}
            left = set(framed.lines["position"].to_pylist()) - found
            assert left <= _empty_batches(framed), "a line that came to nothing"
            assert found <= set(framed.lines["position"].to_pylist())
            assert set(decoded.refused["reason"].to_pylist()) <= set(Reason)

    check()


@pytest.mark.sampled(keep=7)
@pytest.mark.parametrize("format_name", formats.names())
def test_every_request_of_lines_gets_a_receipt(format_name: str) -> None:
    """Judged together, as `tollbook serve` does: what is accepted and refused of each are its lines."""

    @_given
    @given(st.lists(any_input.blocks(format_name), min_size=1, max_size=3))
    def check(bodies: list[bytes]) -> None:
        sent = [RequestLines(body + b"\n", T0_MS * 1000, has_key=bool(i % 2)) for i, body in enumerate(bodies)]
        for request, verdict in zip(sent, judge(sent, warm(format_name), 35 * DAY_US, DAY_US), strict=True):
            framed = split_lines(request.text, 0)
            lines = framed.lines.num_rows - len(_empty_batches(framed))
            assert verdict.accepted + len(verdict.refused) >= lines
            assert len(verdict.text) == len(request.text)

    check()


CATALOG = Catalog.model_validate({})
KNOWN = ingest.readings(CATALOG)
DIGITS = [b"", b"0", b"7", b"9" * 18, b"9" * 19, b"9" * 4400, b"-1", b"1e3", b"\xb2", b"x", b"1_0", b" 1", None]
NAMES = [
    b"edge",
    b"",
    b" ",
    b"e" * 128,
    b"e" * 129,
    b"\xff" * 40,
    b"\xff" * 3000,
    b"e" * 1_000_000,
    b"a/b",
    b"\x00",
    b"\n",
    b"@",
    None,
]
FORMATS = [
    b"kong",
    b"cloudevents",
    b"nginx",
    b"s3",
    b"",
    b"\xff",
    b"../kong",
    b"kong\x00",
    b"k" * 1_000_000,
    b"\xff" * 1_000_000,
    None,
]
_named = [("source", NAMES), ("format", FORMATS), ("generation", NAMES), ("request", NAMES), ("position", DIGITS)]
HEADERS = st.one_of(
    st.none(),
    st.just(record_groups.UNREADABLE_HEADERS),
    st.lists(st.sampled_from(_named).flatmap(lambda n: st.tuples(st.just(n[0]), st.sampled_from(n[1]))), max_size=7),
    st.tuples(*(st.tuples(st.just(name), st.sampled_from(values[:4])) for name, values in _named)).map(list),
    st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=4),
)
VALUES = st.none() | st.just(b"") | any_input.blocks("kong") | st.just(b'{"a":1}\n' * 200)
KEYS = st.none() | st.sampled_from([b"", b"acme", b"\xff", b"k" * 1_000_000])


@settings(_given, max_examples=amount(20, 60, 300))
@given(
    st.lists(st.tuples(VALUES, HEADERS, KEYS), min_size=1, max_size=5), st.sampled_from([("", ""), ("kong", "edge")])
)
@pytest.mark.slow
def test_every_record_becomes_messages_that_a_topic_takes(
    sent: list[tuple[bytes | None, Any, bytes | None]], defaults: tuple[str, str]
) -> None:
    """Whatever its headers, key and value are: each record's entries are told, and one that holds lines has some."""
    values, headers, keys = (list(column) for column in zip(*sent, strict=True))
    count = len(values)
    batch = Records(values, headers, np.zeros(count, np.int64), np.arange(count), np.full(count, T0_MS * 1000), keys)
    read = records.read(batch, KNOWN, lambda p: f"gateway.access/{p}@id", defaults=defaults)
    assert set(read.refused["reason"].to_pylist()) <= set(Reason)
    assert sum(r["records"] for r in read.ingested.to_pylist()) == count
    told = sum(r["records"] * r["entries"] for r in read.ingested.to_pylist())
    assert told == read.events.num_rows + read.refused.num_rows
    offsets = {*read.events["position"].to_pylist(), *read.refused["position"].to_pylist()}
    assert {i for i, value in enumerate(values) if not value} <= offsets
    for message in (records.dead_letter_message(read), *records.event_messages(read, 3)):
        assert message.size < MESSAGE_BYTES_MAX
