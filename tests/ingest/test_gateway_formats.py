"""The gateway formats read what the gateways write, refuse what is cut or no request, and have an outcome for any bytes."""

import json
import re
import time
from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.__main__ import _record
from ingest.decode import fields
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import CREDENTIALS, Attribution, Decoded, Decoder, Parser, SourceRules
from schemas.reasons import Reason
from tests.ingest.fixtures import FOREVER
from tests.ingest.gateway_lines import BAD, FORGERIES, GOOD, Bad, Good

FIELDS = (
    "event_id",
    "time",
    "method",
    "path",
    "route",
    "status",
    "request_bytes",
    "response_bytes",
    "latency_ms",
    "client_ip",
    "service",
    "host",
)
NOBODY = {"kind": "none", "value": None}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(name, row, id=f"{name}: {row.why}") for name, rows in table.items() for row in rows]


parser = cache(Parser)


def read(format_name: str, *lines: str) -> list[dict[str, Any]]:
    framed = split_lines("".join(f"{text}\n" for text in lines).encode(), 0)
    return [_record(row) for row in parser(format_name).parse(framed).to_pylist()]


def identity(fields: dict[str, Any]) -> dict[str, Any]:
    kind, colon, value = fields.get("identity", "").partition(":")
    return {"kind": kind, "value": value} if colon else NOBODY


@pytest.mark.parametrize(("format_name", "good"), cases(GOOD))
def test_a_line_is_read_as_the_gateway_means_it(format_name: str, good: Good) -> None:
    """Every field, absent ones too: a field that is not in the line is never a guess."""
    expected = {field: good.fields.get(field) for field in FIELDS} | {"identity": identity(good.fields)}
    assert read(format_name, good.line) == [expected]


@pytest.mark.parametrize(("format_name", "bad"), cases(BAD))
def test_a_line_that_must_not_count_says_why(format_name: str, bad: Bad) -> None:
    """Its neighbours count, and the reason leads to the remedy."""
    good = GOOD[format_name][0]
    first, refused, last = read(format_name, good.line, bad.line, good.line)
    assert refused["refused"] == bad.reason
    assert refused["detail"]
    assert first == last
    assert "refused" not in first


def owners() -> Attribution:
    """Every identity of the good lines belongs to one partner."""
    found = {(i["kind"], i["value"]) for rows in GOOD.values() for row in rows if (i := identity(row.fields)) != NOBODY}
    rows = [
        {
            "kind": kind,
            "value": value,
            "partner_id": "acme",
            "suspended": False,
            "from_us": FOREVER[0],
            "to_us": FOREVER[1],
        }
        for kind, value in sorted(found)
    ]
    return Attribution(credentials=pa.Table.from_pylist(rows, CREDENTIALS))


@cache
def decoder(format_name: str) -> Decoder:
    return Decoder(format_name, SourceRules("edge", trust_user=True), owners())


def decode(format_name: str, text: bytes) -> Decoded:
    return decoder(format_name).decode(split_lines(text, 0), "gen")


@pytest.mark.integration
@pytest.mark.parametrize(("format_name", "good"), cases(GOOD))
def test_only_an_id_that_the_gateway_makes_is_an_identity(format_name: str, good: Good) -> None:
    """A client that chose the id could have its calls dropped as resends of one; such a line is known by its place."""
    decoded = decode(format_name, good.line.encode())
    if identity(good.fields) == NOBODY:
        assert decoded.refused["reason"].to_pylist() == ["NO_PARTNER"]
        return
    assert decoded.events["partner_id"].to_pylist() == ["acme"]
    assert decoded.events["event_id"].to_pylist() == [good.fields["event_id"] if good.safe else "@gen:0"]


def test_an_id_that_is_not_used_cannot_have_a_call_refused() -> None:
    """A client sets x-request-id: were it judged, one too long would keep the call off the bill."""
    (good,) = (row for row in GOOD["envoy"] if row.fields.get("event_id") == "id-8")
    for chosen in ("x" * 4000, " ", "\\u0007"):
        decoded = decode("envoy", good.line.replace("id-8", chosen).encode())
        assert decoded.events["event_id"].to_pylist() == ["@gen:0"]


BILLED = ("time", "method", "path", "route", "status", "request_bytes", "response_bytes", "identity", "service")


@pytest.mark.parametrize(("format_name", "template", "sent"), FORGERIES, ids=[f[0] for f in FORGERIES])
def test_a_client_cannot_write_what_is_billed(format_name: str, template: str, sent: str) -> None:
    """What a client sends between quotes may look like the rest of a line: other sizes, another route, a 429."""
    (honest,), (forged,) = (
        read(format_name, template.replace("SENT", "x")),
        read(format_name, template.replace("SENT", sent)),
    )
    assert {field: forged[field] for field in BILLED} == {field: honest[field] for field in BILLED}


MINE = sorted(GOOD)
SEEDS = st.integers(0, 1 << 32)


def outcomes(format_name: str, text: bytes) -> set[int]:
    """Positions of the lines that had an outcome: an event, or a refusal with a reason of the closed list."""
    decoded = decode(format_name, text)
    assert set(decoded.refused["reason"].to_pylist()) <= set(Reason.__members__)
    return {*decoded.events["position"].to_pylist(), *decoded.refused["position"].to_pylist()}


def starts(text: bytes) -> set[int]:
    """Where the lines of `text` start that are not blank."""
    found, at = set(), 0
    for line in text.split(b"\n"):
        found |= {at} if line.strip() else set()
        at += len(line) + 1
    return found


def touching(text: bytes) -> set[int]:
    """Where an object may start that follows another on its line: each is an entry of its own."""
    return {match.end() for match in re.finditer(rb"\}\s*(?=\{)", text)}


def assert_each_line_has_an_outcome(format_name: str, text: bytes) -> None:
    """An outcome of its own, or that of the JSON document of which it is a part."""
    found = outcomes(format_name, text)
    assert found <= starts(text) | touching(text)
    for line in starts(text) - found:
        begin = max(at for at in found if at < line)
        end = min((at for at in found if at > line), default=len(text))
        assert isinstance(json.loads(text[begin:end]), dict | list)


def joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)


def damaged(chance: Random, line: bytes) -> bytes:
    """The line cut, doubled in part, or with some of its bytes changed."""
    start, stop = sorted(chance.choices(range(len(line) + 1), k=2))
    pieces = [
        b"",
        b"",
        b'"',
        b"\\",
        b" ",
        b"[",
        b"]",
        b"{",
        b"-",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"9" * 40,
        line,
        chance.randbytes(3),
    ]
    return line[:start] + chance.choice(pieces) + line[chance.choice([start, stop, len(line)]) :]


# One statement costs its binding, however few lines it reads: so many lines go through each, drawn from a seed.
@pytest.mark.integration
@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize("format_name", MINE)
def test_a_damaged_line_has_an_outcome(format_name: str, seed: int) -> None:
    """Cut by rotation, changed by a shipper: never an error, never nothing."""
    chance = Random(seed)
    whole = [row.line.encode() for row in [*GOOD[format_name], *BAD[format_name]]]
    text = joined(damaged(chance, line) for line in whole * 60)
    assert_each_line_has_an_outcome(format_name, text)


@settings(max_examples=2, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize("format_name", MINE)
@pytest.mark.slow
def test_any_bytes_have_an_outcome(format_name: str, seed: int) -> None:
    """Any at all, and the characters that the formats care for."""
    chance = Random(seed)
    text = joined(chance.randbytes(chance.randrange(60)) for _ in range(500)) + joined(
        "".join(chance.choices(' "[]{}\\/:-.,09aZ', k=chance.randrange(40))).encode() for _ in range(500)
    )
    assert_each_line_has_an_outcome(format_name, text)


def anything(chance: Random, keys: list[str], depth: int = 0) -> object:
    """A JSON value of any type, nested up to four deep."""
    kind = chance.randrange(9 if depth < 4 else 7)
    if kind == 7:
        return [anything(chance, keys, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {key: anything(chance, keys, depth + 1) for key in chance.choices(keys, k=chance.randrange(6))}
    leaves = [
        None,
        True,
        chance.randint(-(10**20), 10**20),
        chance.random() * 10 ** chance.randint(-9, 99),
        "",
        "-",
        "2026-10-01T00:00:00Z",
    ]
    return leaves[kind]


@pytest.mark.sampled(keep=4)
@settings(max_examples=2, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize("format_name", MINE)
def test_any_json_object_has_one_outcome(format_name: str, seed: int) -> None:
    """The format's own keys with values of any type and depth."""
    chance = Random(seed)
    keys = sorted({"x", *(part for field in fields.declared(format_name) for part in field.path)})
    records = [{key: anything(chance, keys) for key in chance.choices(keys, k=9)} for _ in range(500)]
    decoded = decode(format_name, joined(json.dumps(record).encode() for record in records))
    assert decoded.events.num_rows + decoded.refused.num_rows == len(records)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("format_name", MINE)
def test_a_hostile_line_costs_no_more_than_its_length(format_name: str) -> None:
    """The patterns are linear: the longest line that is read, of characters they care for, is an affair of a moment."""
    for piece in (
        "[",
        '"',
        " ",
        "\\",
        '\\"',
        "- ",
        "a.b:1 ",
        "1/",
        "[{",
        '" 200 1 "',
        "2026-10-01T00:00:00Z stdout F ",
    ):
        text = (piece * (100_000 // len(piece))).encode()
        before = time.process_time()
        assert_each_line_has_an_outcome(format_name, text)
        assert time.process_time() - before < 2.0, piece


@pytest.mark.parametrize(
    ("duration", "latency_ms"),
    [(999_999_999_999, 999_999.999999), (10**12, 1_000_000), (3_600_000_000_500, 3_600_000.0005)],
)
def test_a_request_may_take_more_than_a_quarter_of_an_hour(duration: int, latency_ms: float) -> None:
    """A connection that is held open, logged in nanoseconds: thirteen digits."""
    good = next(row.line for row in GOOD["traefik"] if '"Duration"' in row.line)
    (got,) = read("traefik", json.dumps(json.loads(good) | {"Duration": duration}))
    assert got["latency_ms"] == latency_ms
