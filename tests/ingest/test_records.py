"""Records of gateway.access to messages: every entry once, ids that stay, coordinates that tell a redelivery."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode.formats import UnknownFormat
from ingest.decode.pipeline import Decoder, SourceRules
from ingest.kafka import record_groups, records
from ingest.kafka.record_groups import Records
from ingest.kafka.records import DecodedBatch, SourceDecoder
from schemas.kafka import wire
from schemas.kafka.partitions import partitions_of
from schemas.kafka.topics import MESSAGE_BYTES_MAX
from tests.ingest.fixtures import OWNERS, T0_MS, kong, line
from tests.long import amount

DAY_US = 86_400_000_000
HEADERS = [("format", b"kong"), ("source", b"edge")]
KNOWN = {
    name: SourceDecoder(Decoder(name, SourceRules("edge"), OWNERS), 35 * DAY_US, 300_000_000)
    for name in ("kong", "nginx")
}


def reading(format_name: str, source: str) -> SourceDecoder:
    if format_name not in KNOWN:
        raise UnknownFormat(f"unknown format {format_name!r} of {source}")
    return KNOWN[format_name]


def batch(*values: bytes | None, headers: Any = HEADERS, partitions: Any = None, received_ms: int = T0_MS) -> Records:
    count = len(values)
    per_record = (
        headers if headers and isinstance(headers, list) and isinstance(headers[0], list) else [headers] * count
    )
    where = np.zeros(count, np.int64) if partitions is None else np.array(partitions)
    offsets = np.array([int((where[:i] == p).sum()) + 100 for i, p in enumerate(where)])
    return Records(list(values), per_record, where, offsets, np.full(count, received_ms * 1000))


def read(given_records: Records) -> DecodedBatch:
    return records.read(given_records, reading, lambda p: f"gateway.access/{p}@id")


def rows(result: DecodedBatch) -> list[tuple[str, int, int, str]]:
    """generation, position, item, event id of all entries, by place."""
    columns = ("generation", "position", "item", "event_id")
    return sorted(tuple(row[c] for c in columns) for t in (result.events, result.refused) for row in t.to_pylist())


def test_entries_know_the_record_they_came_in() -> None:
    """Several lines per record and records per partition: offset and rank in the record, whatever was refused."""
    result = read(batch(line(kong("a")) + b"broken\n" + line(kong("b")), line(kong("c")), partitions=[3, 3]))
    where = "gateway.access/3@id"
    assert rows(result) == [
        (where, 100, 0, "a"),
        (where, 100, 1, f"@{where}:100:1"),
        (where, 100, 2, "b"),
        (where, 101, 0, "c"),
    ]
    assert result.origins == ((where, 100, 102),)


@pytest.mark.parametrize("cuts", [[1, 1, 1], [3], [2, 1]], ids=["a line each", "all in one", "two and one"])
def test_derived_ids_of_a_file_are_those_of_the_file_however_it_is_sent(cuts: list[int]) -> None:
    """`tollbook load` sends the byte position of each record: loaded again in other records, the lines have the same ids."""
    lines = [line(kong(None, client_ip=f"203.0.113.{n}")) for n in range(3)]
    values, headers, at, begun = [], [], 0, 0
    for cut in cuts:
        values.append(b"".join(lines[begun : begun + cut]))
        headers.append([*HEADERS, ("generation", b"f00"), ("position", str(at).encode())])
        begun, at = begun + cut, at + len(values[-1])
    ids = sorted(read(batch(*values, headers=headers)).events["event_id"].to_pylist())
    starts = [0, len(lines[0]), len(lines[0]) + len(lines[1])]
    assert ids == sorted(f"@f00:{start}" for start in starts)


def test_entries_of_one_line_are_told_apart_in_a_file_and_by_their_place_without_one() -> None:
    """In a file, the line's byte is the first entry's id, and the others add their number; elsewhere entries are counted."""
    several = b"[" + b",".join(line(kong(None, client_ip=f"203.0.113.{n}")).strip() for n in range(3)) + b"]\n"
    one = line(kong(None))
    of_file = [*HEADERS, ("generation", b"f00"), ("position", b"50")]
    result = read(batch(one + several, one + several, headers=[of_file, HEADERS]))
    ends, where = 50 + len(one), "gateway.access/0@id"
    assert sorted(result.events["event_id"].to_pylist()) == sorted(
        ["@f00:50", f"@f00:{ends}", f"@f00:{ends}:1", f"@f00:{ends}:2", *(f"@{where}:101:{n}" for n in range(4))]
    )


def test_derived_ids_of_a_named_request_are_those_of_the_request_wherever_it_lands() -> None:
    """`tollbook serve` sends the request of each record: a retry to another partition has the same ids. Limits apply."""
    lines = [line(kong(None, client_ip=f"203.0.113.{n}")) for n in range(3)]

    def sent(*values: bytes, partition: int) -> DecodedBatch:
        starts = [sum(map(len, values[:i])) for i in range(len(values))]
        headers = [[*HEADERS, ("request", b"f00"), ("position", str(at).encode())] for at in starts]
        return read(batch(*values, headers=headers, partitions=[partition] * len(values)))

    whole, cut = sent(b"".join(lines), partition=0), sent(lines[0], lines[1] + lines[2], partition=1)
    assert sorted(whole.events["event_id"].to_pylist()) == sorted(cut.events["event_id"].to_pylist())
    assert whole.events["event_id"][0].as_py() == "@request/f00:0"
    named = [*HEADERS, ("request", b"f00"), ("position", b"0")]
    late = read(batch(line(kong("a")), headers=named, received_ms=T0_MS + 36 * 86_400_000))
    assert late.refused["reason"].to_pylist() == ["TOO_LATE"]


def test_what_ingest_read_is_told_in_runs() -> None:
    """Consecutive records with the same source and number of entries are one row, for the reconciliation with the topic."""
    one, two = line(kong("a")), line(kong("b")) + line(kong("c"))
    result = read(batch(one, one, two, one, partitions=[0, 0, 0, 1]))
    said = [tuple(row.values()) for row in result.ingested.to_pylist()]
    assert said == [
        ("edge", "gateway.access/0@id", 100, 102, 2, 1),
        ("edge", "gateway.access/0@id", 102, 103, 1, 2),
        ("edge", "gateway.access/1@id", 100, 101, 1, 1),
    ]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        pytest.param(None, HEADERS, "TOMBSTONE", id="null value"),
        pytest.param(b"", HEADERS, "EMPTY", id="empty value"),
        pytest.param(b"x\n", [("format", b"kong")], "NO_SOURCE", id="no source"),
        pytest.param(b"x\n", None, "NO_SOURCE", id="no headers"),
        pytest.param(b"x\n", [("format", b"klingon"), ("source", b"edge")], "UNKNOWN_FORMAT", id="unknown format"),
        pytest.param(b"x\n", [("format", b"\xff\xfe"), ("source", b"edge")], "UNKNOWN_FORMAT", id="format is no text"),
        pytest.param(
            b"x\n",
            [*HEADERS, ("generation", b"f00"), ("position", b"9" * 4_400)],
            "BAD_HEADER",
            id="a position that is no number of 64 bits",
        ),
        pytest.param(
            b"x\n",
            [*HEADERS, ("request", b"f00"), ("position", b"9" * 19)],
            "BAD_HEADER",
            id="a position one digit too long",
        ),
        pytest.param(
            b"x\n", [*HEADERS, ("generation", b"f00"), ("position", b"-1")], "BAD_HEADER", id="a position below zero"
        ),
        pytest.param(
            b"x\n",
            [*HEADERS, ("generation", b"f" * 129), ("position", b"0")],
            "BAD_HEADER",
            id="a file's name that is too long",
        ),
        pytest.param(
            b"x\n", [("format", b"kong"), ("source", b"e" * 129)], "BAD_HEADER", id="a source's name that is too long"
        ),
        pytest.param(
            b"x\n",
            [("format", b"kong"), ("source", b"\xff" * 40)],
            "BAD_HEADER",
            id="a source's name that is too long when it is shown",
        ),
        pytest.param(
            b"x\n", record_groups.UNREADABLE_HEADERS, "BAD_HEADER", id="headers that the client library cannot read"
        ),
        pytest.param(
            b"\n" * (record_groups.RECORD_BYTES_MAX + 1),
            HEADERS,
            "TOO_LARGE",
            id="a record that is too large when it is unpacked",
        ),
        pytest.param(b"\xc3(\n", HEADERS, "BAD_UTF8", id="bytes"),
        pytest.param("x\n".encode("utf-16"), HEADERS, "BAD_ENCODING", id="UTF-16"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_refusal(value: bytes | None, headers: Any, reason: str) -> None:
    """Nothing is skipped, and the other records count."""
    result = read(batch(line(kong("a")), value, line(kong("b")), headers=[HEADERS, headers, HEADERS]))
    assert result.events["event_id"].to_pylist() == ["a", "b"]
    assert result.refused["reason"].to_pylist() == [reason]
    assert sum(r["records"] * r["entries"] for r in result.ingested.to_pylist()) == 3


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [(35 * 86_400_000, None), (35 * 86_400_000 + 1, "TOO_LATE"), (-299_999, None), (-300_000, "IN_FUTURE")],
)
def test_lateness_is_measured_against_the_time_of_receipt(age_ms: int, reason: str | None) -> None:
    """The broker's append time, to the millisecond, never this machine's clock. A file has no such time."""
    late = read(batch(line(kong("a")), received_ms=T0_MS + age_ms))
    assert late.refused["reason"].to_pylist() == ([reason] if reason else [])
    of_file = [*HEADERS, ("generation", b"f00"), ("position", b"0")]
    assert read(batch(line(kong("a")), headers=of_file, received_ms=T0_MS + age_ms)).refused.num_rows == 0


def test_a_byte_order_mark_at_the_start_of_a_record_does_no_harm() -> None:
    """Some shippers write one into each record."""
    assert read(batch(b"\xef\xbb\xbf" + line(kong("a")), b"\xef\xbb\xbf" + line(kong("b")))).events.num_rows == 2


@pytest.mark.integration
@settings(max_examples=amount(10, 25), deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5), min_size=1, max_size=6), st.integers(1, 12)
)
def test_messages_hold_every_event_once_in_its_partition(ids: list[list[str]], partitions: int) -> None:
    """One message per partition, with rows or without; together they are the batch."""
    result = read(batch(*(b"".join(line(kong(i)) for i in record) for record in ids)))
    sent = [(m.partition, wire.decoded(m.value, m.headers)) for m in records.event_messages(result, partitions)]
    assert [p for p, _ in sent] == list(range(partitions))
    for partition, message in sent:
        assert message.origins == result.origins
        assert set(partitions_of(message.rows["source"], message.rows["event_id"], partitions)) <= {partition}
    got = sorted(i for _, m in sent for i in m.rows["event_id"].to_pylist())
    assert got == sorted(i for record in ids for i in record)


@pytest.mark.integration
def test_a_record_whose_refusals_fit_into_no_message_is_refused_as_a_whole() -> None:
    """0.7 MB of short lines become 20 MB of refusals: the topic would refuse them, and no worker would get past the record."""
    value = b"".join(b"%x\n" % (n * 7919 % 4096) for n in range(100_000))
    too_large = batch(value)
    assert records.dead_letter_message(read(too_large)).size > MESSAGE_BYTES_MAX
    result = records.refuse_records(too_large, 1, lambda p: f"gateway.access/{p}@id")
    assert [(r["reason"], r["source"], r["position"], r["item"]) for r in result.refused.to_pylist()] == [
        ("TOO_LARGE", "edge", 100, 0)
    ]
    assert result.origins == (("gateway.access/0@id", 100, 101),)
    assert [(r["records"], r["entries"]) for r in result.ingested.to_pylist()] == [(1, 1)]
    assert result.events.num_rows == 0


def test_the_size_of_a_message_counts_what_stands_in_its_headers() -> None:
    """The ranges are a header of the dead letters. Alternating sources give one row per record, none of it in the value."""
    two = [[("format", b"kong"), ("source", b"edge-%d" % (n % 2))] for n in range(2_000)]
    letter = records.dead_letter_message(read(batch(*([line(kong("a"))] * 2_000), headers=two)))
    assert len(letter.value) < 8_192 < letter.size
