"""Values of JSON lines as gateways write them: whole numbers with a point, and bytes that are not UTF-8."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingest.__main__ import _record
from ingest.decode import fields, formats, statements
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder, Parser, SourceRules
from tests.ingest.both_ways import pair, same
from tests.ingest.fixtures import OWNERS, kong, line
from tests.ingest.mutated_lines import own_lines

FOUND = Path(__file__).parent / "found"
CASES = sorted(path.name.removesuffix(".log") for path in FOUND.glob("*.log"))
JSON = [name for name in formats.names() if fields.declared(name)]
STRICT = [name for name in JSON if formats.is_strict(name)]
parser = cache(Parser)


def read(format_name: str, raw: bytes) -> list[dict[str, Any]]:
    return [_record(row) for row in parser(format_name).parse(split_lines(raw, 0)).to_pylist()]


@pytest.mark.parametrize("name", CASES)
def test_lines_from_the_field_are_read_as_their_gateway_means_them(name: str) -> None:
    """Each case names the discussion that it comes from, and the fields that matter there."""
    case = json.loads((FOUND / f"{name}.expected.json").read_text())
    got = read(case["format"], (FOUND / f"{name}.log").read_bytes())
    assert len(got) == len(case["entries"])
    for entry, expected in zip(got, case["entries"], strict=True):
        assert {key: entry.get(key) for key in expected} == expected


def number(text: str) -> int | None:
    found = statements.connect().execute("SELECT whole_number(x) FROM (SELECT $x AS x)", {"x": text}).fetchone()
    assert found is not None
    value: int | None = found[0]
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-0", 0), ("200", 200), ("200.0", 200), ("2143.000", 2143), ("2.143e3", 2143), ("2.143E+3", 2143), ("21430e-1", 2143),
        ("10000000000000000", 10**16), ("1e16", 10**16), ("10000000000000001", None), ("1e17", None), ("1e99", None), ("9" * 40, None),
        ("11576.5", None), ("2.1435e3", None), ("1e-3", None), ("-1", None), ("-1.0", None), ("0x10", None), ("0x10.0", None), ("1_38", None),
        ("1_38.0", None), ("0b11", None), ("true", None), ("", None), ("-", None), ("1,000", None), ("nan.", None), ("infinite", None), ("e", None),
    ],
)  # fmt: skip
def test_a_whole_number_may_have_a_point_or_an_exponent(text: str, value: int | None) -> None:
    assert number(text) == value


def with_size(format_name: str, value: str) -> Iterator[bytes]:
    """Each JSON line of a format with each size in it, number or text, replaced."""
    names = [
        field.path[-1] for field in fields.declared(format_name) if field.role in ("request_bytes", "response_bytes")
    ]
    for text in flat_lines(format_name):
        made = json.loads(text)
        places = [
            (inside, name) for inside in objects(made) for name in names if isinstance(inside.get(name), int | str)
        ]
        for inside, name in places:
            before, inside[name] = inside[name], "@@"
            raw = json.dumps(made)
            if counts(format_name, raw.replace('"@@"', "3")):
                yield raw.replace('"@@"', value).encode() + b"\n"
            inside[name] = before


def flat_lines(format_name: str) -> list[str]:
    """Lines of one entry each."""
    return [text for text in own_lines(format_name) if not text.startswith(('{"records"', '{"Records"'))]


def counts(format_name: str, text: str) -> bool:
    """Whether a size of the line is 3: of several members only the first counts."""
    (entry,) = read(format_name, text.encode() + b"\n")
    return 3 in (entry.get("request_bytes"), entry.get("response_bytes"))


def objects(made: Any) -> Iterator[dict[str, Any]]:
    if isinstance(made, dict):
        yield made
    for value in made.values() if isinstance(made, dict) else made if isinstance(made, list) else ():
        yield from objects(value)


@pytest.mark.sampled(keep=6, whole=24)
@pytest.mark.parametrize("value", ["11576.5", '"11576.5"', '"0x10"', '"1_38"', "1.5e0", "1e400"])
@pytest.mark.parametrize("format_name", [name for name in JSON if list(with_size(name, "1"))])
def test_a_size_that_is_no_whole_number_is_refused(format_name: str, value: str) -> None:
    """In both ways of reading: it is never rounded, and never read in another base."""
    good = b"".join(with_size(format_name, "7"))
    raw = good + b"".join(with_size(format_name, value)) + good
    decoded = same(pair(format_name, SourceRules("edge", partner="acme")), raw)
    lines = good.count(b"\n")
    assert decoded.events.num_rows == 2 * lines
    assert set(decoded.refused["reason"].to_pylist()) <= {"NUMBER_RANGE", "WRONG_TYPE", "NOT_INTEGER"}


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize("format_name", sorted(set(JSON) - set(STRICT)))
def test_bytes_of_an_unread_member_are_carried_as_they_are(format_name: str) -> None:
    """A client chooses its user agent: no byte in it may make its call free. The call is read like the one before."""
    decoder = Decoder(format_name, SourceRules("edge", partner="acme"), OWNERS)
    for text in flat_lines(format_name)[:3]:
        good = text.rstrip("\n").encode() + b"\n"
        framed = split_lines(b'{"user_agent": "F\xfatbol \xc3", ' + good[1:], 0)
        assert framed.unreadable["reason"].to_pylist() == ["BAD_UTF8"]
        expected = decoder.decode(split_lines(good, 0), "gen")
        assert decoder.decode(framed, "gen").events.to_pylist() == expected.events.to_pylist()


@pytest.mark.parametrize(
    ("member", "sent"),
    [
        pytest.param(b'"uri":"/v1/', b'"uri":"/v1/\xfa', id="path"),
        pytest.param(b'"host":"', b'"host":"\xfa', id="host"),
        pytest.param(b'"client_ip":"', b'"client_ip":"\xfa', id="address"),
    ],
)
def test_bytes_of_what_a_client_chooses_do_not_make_a_call_free(member: bytes, sent: bytes) -> None:
    """NGINX passes such a path on and answers 200. None of the three is stored as it is."""
    good = line(kong("id-1")).replace(b'": ', b'":')
    raw = good.replace(member, sent)
    assert raw != good
    decoded = Decoder("kong", SourceRules("edge", partner="acme"), OWNERS).decode(split_lines(raw, 0), "gen")
    assert (decoded.events.num_rows, decoded.refused.num_rows) == (1, 0)


def test_bytes_of_a_member_that_is_read_make_a_line_unreadable() -> None:
    """The letter shows the bytes."""
    (good, *_) = own_lines("kong")
    raw = good.encode().replace(b'"GET"', b'"G\xfaT"')
    assert raw != good.encode()
    decoded = Decoder("kong", SourceRules("edge", partner="acme"), OWNERS).decode(split_lines(raw, 0), "gen")
    (letter,) = decoded.refused.to_pylist()
    assert letter["reason"] == "BAD_UTF8"
    assert rb'"G\xfaT"' in letter["raw"]


@pytest.mark.parametrize("format_name", STRICT)
def test_a_usage_event_is_utf_8_as_a_whole(format_name: str) -> None:
    """Whoever writes it means to bill, and can write it rightly."""
    raw = b'{"note": "F\xfatbol", ' + own_lines(format_name)[0].encode()[1:]
    decoded = Decoder(format_name, SourceRules("edge", partner="acme"), OWNERS).decode(split_lines(raw, 0), "gen")
    assert decoded.refused["reason"].to_pylist() == ["BAD_UTF8"]
