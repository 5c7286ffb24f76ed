"""Formats of clouds and collectors, on lines of our own: what each field means, what is refused and why, and that nothing is lost."""

import hashlib
import io
import json
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.__main__ import _record
from ingest.decode import formats
from ingest.decode.framing import Lines, split_lines
from ingest.decode.pipeline import CREDENTIALS, PARTNERS, Attribution, Decoded, Decoder, Parser, SourceRules
from ingest.files.block_reader import frames
from schemas.reasons import Reason
from tests.ingest.cloud_lines import (
    ALB_GET,
    APIM,
    APPGW,
    CASES,
    CF_CHOSEN,
    CF_ENTRY,
    CF_NAMES,
    CF_ROW,
    EVENT,
    KONG_RECORD,
    S3_GET,
    S3_READ,
    TYK_CLEAR_KEY,
    TYK_RECORD,
    Broken,
    Good,
    attributes,
    changed,
    entry,
    j,
    otlp_request,
)
from tests.ingest.test_decode import HOSTILE
from tests.long import amount

FORMATS = sorted(CASES)
GOOD = [pytest.param(name, case, id=f"{name}: {case.title}") for name in FORMATS for case in CASES[name][0]]
BROKEN = [pytest.param(name, case, id=f"{name}: {case.title}") for name in FORMATS for case in CASES[name][1]]


@cache
def parser(format_name: str) -> Parser:
    return Parser(format_name)


@cache
def decoder(format_name: str) -> Decoder:
    """A source that may tag, and a catalog in which nobody is known: every entry without a reason of its own has no partner."""
    owners = Attribution(CREDENTIALS.empty_table(), PARTNERS.empty_table())
    return Decoder(format_name, SourceRules("edge"), owners)


def parse(format_name: str, text: str) -> list[dict[str, Any]]:
    """As `python -m ingest parse` shows a file with this content."""
    blocks = frames(io.BytesIO(text.encode()))
    return [_record(row) for block in blocks for row in parser(format_name).parse(block).to_pylist()]


def decode(format_name: str, *lines: bytes) -> Decoded:
    return decoder(format_name).decode(split_lines(b"".join(line + b"\n" for line in lines), 0), "gen")


def one_line(case: Good | Broken) -> bytes:
    """The text of a case on one line, also where it is a document over many."""
    try:
        return json.dumps(json.loads(case.text)).encode()
    except ValueError:
        return case.text.encode()


@pytest.mark.parametrize(("format_name", "case"), GOOD)
def test_every_field_of_a_good_line_is_read(format_name: str, case: Good) -> None:
    """All values at once: a field that is read in the wrong unit, or from the wrong place, is money."""
    assert parse(format_name, case.text) == case.entries


@pytest.mark.parametrize(("format_name", "case"), BROKEN)
def test_a_broken_line_is_refused_for_its_reason(format_name: str, case: Broken) -> None:
    """Cut lines, wrong units, records that are no request: each is one refused entry, none is guessed at."""
    got = parse(format_name, case.text)
    assert [(one.get("refused"), bool(one.get("detail"))) for one in got] == [(case.reason, True)]


BATCHES = [
    pytest.param(name, case, id=f"{name}: {case.title}")
    for name in FORMATS
    for case in CASES[name][0]
    if len(case.entries) > 1 and case.text[0] in "{["
]


@pytest.mark.parametrize(("format_name", "case"), BATCHES)
@pytest.mark.slow
def test_the_entries_of_a_line_are_numbered(format_name: str, case: Good) -> None:
    """Where the log has no ids, the number within the line is all that tells two entries apart."""
    decoded = decode(format_name, one_line(case))
    assert sorted(decoded.refused["item"].to_pylist()) == list(range(len(case.entries)))


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_format_says_what_its_fields_units_and_ids_are(format_name: str) -> None:
    """The header is what `tollbook formats` shows, and the only place where the id rule stands."""
    described = formats.describe(format_name)
    assert described.title
    assert [word for word in ("Fields:", "Units:", "Id:", "Identity:") if word not in described.header] == []


def outcomes(decoded: Decoded) -> dict[int, int]:
    """How many outcomes the line at each position has."""
    counts: dict[int, int] = {}
    for position in [*decoded.events["position"].to_pylist(), *decoded.refused["position"].to_pylist()]:
        counts[position] = counts.get(position, 0) + 1
    return counts


def assert_total(format_name: str, framed: Lines) -> None:
    decoded = decoder(format_name).decode(framed, "gen")
    empty_batches = {
        row["position"]
        for row in framed.lines.to_pylist()
        if format_name == "cloudevents" and row["line"].rstrip() == "[]"  # a batch begins with [
    }
    assert outcomes(decoded).keys() == set(framed.lines["position"].to_pylist()) - empty_batches
    assert set(decoded.refused["reason"].to_pylist()) <= set(Reason.__members__)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_line_cut_anywhere_has_an_outcome(format_name: str) -> None:
    """Every beginning and every end of every line: rotation and full disks cut where they like."""
    whole = [one_line(case) for kind in CASES[format_name] for case in kind]
    pieces = [piece for line in whole for at in range(1, len(line), 3) for piece in (line[:at], line[at:])]
    assert_total(format_name, split_lines(b"\n".join(pieces), 0))


@st.composite
def mutated(draw: st.DrawFn, lines: list[bytes]) -> bytes:
    """A line of ours with a few bytes replaced, doubled or taken out."""
    line = bytearray(draw(st.sampled_from(lines)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(line)))
        end = start + draw(st.integers(0, 12))
        line[start:end] = draw(
            st.sampled_from(
                [
                    b"",
                    b"null",
                    b'"',
                    b"[",
                    b"{}",
                    b"-1",
                    b"\t",
                    b" ",
                    b"\\",
                    b"\x00",
                    b"\xff",
                    b"9" * 30,
                    bytes(line[:end]),
                ]
            )
        )
    return bytes(line[:4000]).replace(b"\n", b"")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=amount(3, 8), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_decoding_is_total(format_name: str, data: st.DataObject) -> None:
    """Random bytes and lines of ours with bytes changed: each line that is not blank has an outcome, whatever it holds."""
    ours = [one_line(case) for kind in CASES[format_name] for case in kind]
    noise = st.binary(max_size=80).map(lambda b: b.replace(b"\n", b""))
    lines = data.draw(st.lists(st.one_of(mutated(ours), mutated(ours), noise), min_size=1, max_size=40))
    assert_total(format_name, split_lines(b"\n".join(lines), 0))


@pytest.mark.parametrize("format_name", FORMATS)
def test_hostile_lines_do_not_touch_their_neighbours(format_name: str) -> None:
    """Deep nesting, surrogates, binary, markup: each is refused alone; the good lines between them are read as ever."""
    good = next(case for case in CASES[format_name][0] if len(case.entries) == 1)
    hostile = [text.rstrip(b"\n") for text in HOSTILE]
    lines = [line for bad in hostile for line in (one_line(good), bad)]
    framed = split_lines(b"\n".join(lines), 0)
    shown = [_record(row) for row in parser(format_name).parse(framed).to_pylist()]
    assert shown[0::2] == good.entries * len(hostile)
    assert all("refused" in one for one in shown[1::2])
    assert len(shown) == len(lines)


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        pytest.param("2026-10-01T06:00:00.9999999Z", "2026-10-01T06:00:00.999Z", id="finer than a microsecond: cut, never rounded up"),
        pytest.param("2026-10-01t06:00:00z", "2026-10-01T06:00:00.000Z", id="small letters"),
        pytest.param("2026-10-01 06:00:00Z", "2026-10-01T06:00:00.000Z", id="a space for T"),
        pytest.param("2026-10-01T20:00:00+14:00", "2026-10-01T06:00:00.000Z", id="furthest east"),
        pytest.param("2026-09-30T18:00:00-12:00", "2026-10-01T06:00:00.000Z", id="furthest west"),
        pytest.param("2026-10-01T08:00:00+0200", "2026-10-01T06:00:00.000Z", id="an offset without colon"),
        pytest.param("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z", id="a leap second is the second after it"),
        pytest.param("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500Z", id="half of it"),
        pytest.param("2028-02-29T00:00:00Z", "2028-02-29T00:00:00.000Z", id="a leap day"),
        pytest.param("2026-02-29T00:00:00Z", "BAD_TIME", id="no leap day"),
        pytest.param("2026-13-01T00:00:00Z", "BAD_TIME", id="month 13"),
        pytest.param("2026-10-01T25:00:00Z", "BAD_TIME", id="hour 25"),
        pytest.param("2026-10-01T06:00:61Z", "BAD_TIME", id="second 61"),
        pytest.param("2026-10-01T06:00:00+25:00", "BAD_TIME", id="an offset beyond a day"),
        pytest.param("2026-10-01T08:00:00+02:00", "2026-10-01T06:00:00.000Z", id="whole hours from UTC"),
        pytest.param("2026-10-01T06:00:00.Z", "BAD_TIME", id="a point without a fraction"),
        pytest.param("2026-10-01T06:00:6.Z", "BAD_TIME", id="a second of one digit"),
        pytest.param("2026-10-01T06:00:6.+00:00", "BAD_TIME", id="the same before an offset"),
        pytest.param("2026-10-01T 6:00:00Z", "BAD_TIME", id="a blank for a digit"),
        pytest.param("-026-10-01T06:00:00Z", "BAD_TIME", id="a sign for a digit"),
        pytest.param("2026-10-01T06:00:00", "NO_ZONE", id="no zone"),
        pytest.param("2026-10-01", "BAD_TIME", id="a day"),
        pytest.param("infinity", "BAD_TIME", id="a word that a database knows"),
        pytest.param("epoch", "BAD_TIME", id="another"),
        pytest.param("1790834400", "BAD_TIME", id="a number, where a time is asked for"),
        pytest.param("1969-12-31T23:59:59Z", "TIME_RANGE", id="before the epoch"),
        pytest.param("9999-12-31T23:59:59Z", "TIME_RANGE", id="the end of years"),
        pytest.param("12026-10-01T06:00:00Z", "TIME_RANGE", id="five digits"),
    ],
)  # fmt: skip
def test_times_of_rfc_3339(time: str, shown: str) -> None:
    """One reading for all formats that write such times: a zone is asked for, an instant that does not exist is refused."""
    [got] = parse("cloudevents", j(changed(EVENT, time=time)))
    assert got.get("refused", got.get("time")) == shown


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [
        ("0.001", 1), ("0.0015", 1.5), ("29", 29_000), ("29.0", 29_000), ("1e-3", 1), ("1.5E-3", 1.5), (0.1, 100), (1e-05, 0.01), ("0", 0),
        ("-0.001", "NUMBER_RANGE"), ("", "NUMBER_RANGE"), ("1 s", "NUMBER_RANGE"), ("NaN", "NUMBER_RANGE"), ("inf", "NUMBER_RANGE"), ("999999999999999", "NUMBER_RANGE"),
    ],
)  # fmt: skip
def test_seconds_become_milliseconds_exactly(seconds: object, ms: object) -> None:
    """Decimals, not binary fractions; what is no number of seconds is refused, not taken for none."""
    [got] = parse("azure_appgw", j(changed(APPGW, properties__timeTaken=seconds)))
    assert got.get("refused", got.get("latency_ms")) == ms


def test_cloudfront_reads_columns_by_the_header_above_them() -> None:
    """Two headers in one file, as when files are joined: each row by the nearest above it; v2 lets the owner choose the columns."""
    chosen = "1790834400042\t200\t/v1/orders\tGET\t3920\tEdGeId=="
    text = "\n".join(
        [f"#Fields: {CF_NAMES}", CF_ROW, "#Version: 1.0", CF_CHOSEN, chosen, f"#Fields: {CF_NAMES}", CF_ROW]
    )
    got = [one for one in parse("cloudfront", text) if one.get("refused") != "NOT_A_REQUEST"]
    small = entry(
        event_id="EdGeId==",
        time="2026-10-01T06:00:00.042Z",
        method="GET",
        path="/v1/orders",
        status=200,
        response_bytes=3920,
    )
    assert got == [CF_ENTRY, small, CF_ENTRY]


def test_cloudfront_refuses_a_cut_row_of_chosen_columns() -> None:
    """The last column that is read is the last of the row: a row that is one short is cut, whatever it still holds."""
    got = parse("cloudfront", f"{CF_CHOSEN}\n1790834400042\t200\t/v1/orders\tGET\t39")
    assert [one.get("refused") for one in got] == ["NOT_A_REQUEST", "NOT_JSON"]


def test_cloudfront_does_not_take_a_row_for_another_layout() -> None:
    """Chosen columns without their header (the second block of a large file, say) are refused, not read by the standard places."""
    wide = "\t".join(["1790834400042", "200", "/v1/orders", "GET", "3920", "EdGeId==", *"abcdefghijklmnopq"])
    assert [one.get("refused") for one in parse("cloudfront", wide)] == ["BAD_TIME"]


def event_ids(format_name: str, *lines: str) -> list[str]:
    """The ids that duplicates are known by. Nobody is known, so they are read from the dead letters."""
    decoded = decode(format_name, *(line.encode() for line in lines))
    assert decoded.events.num_rows == 0
    return decoded.refused["event_id"].to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("format_name", "line"),
    [
        pytest.param("aws_alb", ALB_GET, id="the trace id of a load balancer"),
        pytest.param("tyk", j(TYK_RECORD), id="Tyk has none"),
        pytest.param(
            "otlp",
            j(otlp_request(changed(KONG_RECORD, attributes=attributes(http__request__method="GET", http__request__header__x_request_id="mine")))),
            id="trace id and headers of a log record",
        ),
    ],
)  # fmt: skip
def test_ids_that_a_client_can_choose_are_not_used(format_name: str, line: str) -> None:
    """A client that repeats its own id must not be able to make two calls one: they are known by their place in the log."""
    assert event_ids(format_name, line, line) == ["@gen:0", f"@gen:{len(line) + 1}"]


@pytest.mark.parametrize(
    ("line", "other"),
    [
        pytest.param(changed(EVENT, source="a"), changed(EVENT, source="b"), id="same id, another source"),
        pytest.param(changed(EVENT, source="a-b", id="c"), changed(EVENT, source="a", id="b-c"), id="hyphens do not run together"),
        pytest.param(changed(EVENT, id="X"), changed(EVENT, id="x"), id="large and small letters"),
        pytest.param(changed(EVENT, source="s" * 200, id="1"), changed(EVENT, source="s" * 200, id="2"), id="too long to stand as they are"),
        pytest.param(changed(EVENT, source="s" * 200 + "a"), changed(EVENT, source="s" * 200 + "b"), id="long sources that differ at their ends"),
    ],
)  # fmt: skip
def test_events_of_other_sources_or_ids_are_other_events(line: dict[str, Any], other: dict[str, Any]) -> None:
    """CloudEvents promises that source and id together are unique, no less; neither alone may merge two events."""
    first, second, again = event_ids("cloudevents", j(line), j(other), j(line))
    assert first == again != second
    assert max(len(first), len(second)) <= 128


def test_a_request_id_of_s3_is_kept_apart_from_the_reading_half_of_a_copy() -> None:
    """Both halves have one id in the log: without one of its own, the second would be dropped as a conflict."""
    halves = [S3_GET.replace("GET.OBJECT", "COPY.OBJECT"), S3_GET.replace("GET.OBJECT", "COPY.OBJECT_GET")]
    assert event_ids("s3_access", *halves) == ["REQUEST0000000A1", "REQUEST0000000A1/REST.COPY.OBJECT_GET"]


def test_a_tag_is_found_in_each_record_of_a_file() -> None:
    """A file of CloudTrail is one line: the partner field is looked up in the record, not in the file."""
    rules = SourceRules("edge", may_tag=True, partner_field="partner")
    partners = pa.Table.from_pylist([{"partner_id": p, "suspended": False} for p in ("acme", "bolt")], PARTNERS)
    document = j(
        {
            "Records": [
                changed(S3_READ, partner="acme", userIdentity={}),
                changed(S3_READ, partner="bolt", userIdentity={}, eventID="2"),
            ]
        }
    )
    decoded = Decoder("cloudtrail", rules, Attribution(partners=partners)).decode(
        split_lines(document.encode(), 0), "gen"
    )
    assert decoded.events["partner_id"].to_pylist() == ["acme", "bolt"]
    assert decoded.events["item"].to_pylist() == [0, 1]


@pytest.mark.integration
@pytest.mark.slow
def test_a_file_of_many_records_does_not_become_as_many_copies_of_the_file() -> None:
    """A thousand refused records of a file of one line: each dead letter holds its own record, and the hash of the whole line."""
    document = j({"Records": [changed(S3_READ, eventID=f"event-{i}") for i in range(1000)]}).encode()
    decoded = decode("cloudtrail", document)
    letters = decoded.refused.to_pylist()
    assert len(letters) == 1000
    assert sum(len(letter["raw"]) for letter in letters) < 2 * len(document)
    assert all(f'"event-{i}"'.encode() in letter["raw"] for i, letter in enumerate(letters))
    cut = document.replace(b'"203.0.113.9"', b'"203.0.113.0/24"')  # a hash of the whole address would tell it
    assert {letter["raw_sha256"] for letter in letters} == {hashlib.sha256(cut).hexdigest()}


SECRETS = [f"canary{i}" for i in range(12)]
LEAKY = {
    "cloudfront": [
        CF_ROW.replace("key=1", f"api_key={SECRETS[0]}").replace("\t-\tHit", f"\tsid={SECRETS[1]}\tHit"),
        j({"date": "2026-10-01", "cs-uri-query": f"api_key={SECRETS[2]}", "cs(Cookie)": f"sid={SECRETS[3]}", "cs-method": "GET"}),
    ],
    "aws_alb": [ALB_GET.replace("key=1", f"key={SECRETS[0]}").replace("2026-10-01T06", "2026-13-01T06")],
    "s3_access": [S3_GET.replace("versionId=v1", f"X-Amz-Signature={SECRETS[0]}").replace("01/Oct", "31/Sep")],
    "azure_appgw": [j(changed(APPGW, properties__requestQuery=f"key={SECRETS[0]}", properties__originalRequestUriWithArgs=f"/v1?key={SECRETS[1]}"))],
    "azure_apim": [
        j(changed(APIM, time="now", properties__url=f"https://a/?k={SECRETS[0]}", properties__requestBody=SECRETS[1], properties__responseBody=f'{{"a":"{SECRETS[2]}"}}'))
    ],
    "otlp": [
        j(
            otlp_request(
                changed(
                    KONG_RECORD,
                    timeUnixNano="noon",
                    attributes=[
                        *attributes(url__query=f"key={SECRETS[0]}", http__request__header__apikey=SECRETS[1]),
                        *attributes(url__full=f"https://a/b?key={SECRETS[2]}", http__request__method="GET"),
                        {"key": "http.request.header.authorization", "value": {"arrayValue": {"values": [{"stringValue": SECRETS[3]}]}}},
                        {"key": "http.request.header.cookie", "value": {"stringValue": f"sid={SECRETS[4]}"}},
                    ],
                )
            )
        )
    ],
    "tyk": [j(changed(TYK_RECORD, api_key=TYK_CLEAR_KEY, raw_request=SECRETS[0], raw_response=SECRETS[1])), j(changed(TYK_RECORD, api_key=SECRETS[2], timestamp="now"))],
    "cloudtrail": [j(changed(S3_READ, eventTime="now", requestParameters={"X-Amz-Signature": SECRETS[0], "x-amz-security-token": SECRETS[1]}))],
}  # fmt: skip


@pytest.mark.parametrize("format_name", sorted(LEAKY))
def test_secrets_do_not_pass(format_name: str) -> None:
    """Queries, cookies, keys, tokens and bodies: each format keeps them in another place, and no dead letter may keep them."""
    decoded = decode(format_name, *(line.encode() for line in LEAKY[format_name]))
    stored = repr(decoded.events.to_pylist()) + repr(decoded.refused.to_pylist())
    assert decoded.refused.num_rows == len(LEAKY[format_name])
    assert [secret for secret in [*SECRETS, TYK_CLEAR_KEY] if secret in stored] == []


@pytest.mark.parametrize("format_name", sorted(LEAKY))
@pytest.mark.slow
def test_secrets_of_cut_lines_do_not_pass_either(format_name: str) -> None:
    """A cut takes closing quotes and brackets away: what strikes out secrets must not wait for them."""
    pieces = [line[:end].encode() for line in LEAKY[format_name] for end in range(1, len(line))]
    stored = repr(decode(format_name, *pieces).refused["raw"].to_pylist())
    assert [secret for secret in [*SECRETS, TYK_CLEAR_KEY] if secret in stored] == []


def test_what_mends_a_line_stays_readable() -> None:
    """Striking out must leave ids, paths and principals in the dead letter: by them a person finds the request."""
    row = decode("cloudfront", CF_ROW.replace("2026-10-01", "2026-13-01").encode()).refused.to_pylist()[0]
    assert [
        word
        for word in (b"EdGeId==", b"/v1/or%20ders", b"d1.cloudfront.net", b"203.0.113.0/24", b"3920")
        if word not in row["raw"]
    ] == []
    refused = decode("cloudtrail", j(changed(S3_READ, eventTime="now")).encode()).refused.to_pylist()[0]
    assert [word for word in (b"PartnerReader", b"GetObject", b"2026/10/all.csv") if word not in refused["raw"]] == []
