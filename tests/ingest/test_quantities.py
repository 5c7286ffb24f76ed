"""Open quantities: typed from the bytes of a line, by every way in, and a part of what a resend must repeat.

The expected values are read by Python's json with Decimal, which shares nothing with the statement.
"""

import json
import re
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.attribution.catalog_rules import event_properties, line_properties
from ingest.decode import framing
from ingest.decode.pipeline import PARTNERS, Attribution, Decoder, SourceRules
from ingest.decode.quantities import EventProperty, of_data, of_fields
from ingest.http.verdicts import RequestLines, judge
from ingest.kafka import records
from ingest.kafka.record_groups import Records
from ingest.kafka.records import SourceDecoder
from schemas.catalog.meters.meter import Meter
from schemas.catalog.records import Catalog
from schemas.catalog.sources import Source
from schemas.kafka import wire
from tests.ingest.fixtures import OWNERS as SENDERS

OWNERS = Attribution(partners=pa.Table.from_pylist([{"partner_id": "acme", "suspended": False}], PARTNERS))
T0_US = 1_791_190_800_000_000  # 2026-10-05 09:00, when all events happened
LATE_US = 3_600_000_000
ASKED = (
    of_data("attribute", "model", "$.model", ("prompt",)),
    of_data("quantity", "tokens", "$.usage.tokens", ("prompt",)),
)


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": str(number), "source": "gpu", "type": "prompt", "subject": "acme", "time": "2026-10-05T09:00:00Z", **changes,
    }  # fmt: skip


def read(
    *lines: str, log_format: str = "cloudevents", templates_from: int = 20_000, **rules: Any
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Events with what they carry, and the reason and detail of each refusal."""
    properties = {"event_properties": ASKED} if log_format == "cloudevents" else {}
    rules = {"partner": "acme", **properties, **rules}
    decoder = Decoder(log_format, SourceRules("s", **rules), OWNERS, templates_from=templates_from)
    rows = pa.table({"position": pa.array(range(len(lines)), pa.int64()), "line": pa.array(lines, pa.string())})
    found = decoder.decode(framing.Lines(rows, framing.UNREADABLE.empty_table()), "g")
    carried = found.events.select(["event_type", "quantities", "attributes"]).to_pylist()
    for row in carried:
        row |= {name: row[name] and json.loads(row[name]) for name in ("quantities", "attributes")}
    return carried, list(zip(*(found.refused[name].to_pylist() for name in ("reason", "detail")), strict=True))


def carrying(text: str) -> str:
    """An event with a quantity that is written as `text`."""
    return json.dumps(event(data={"usage": {"tokens": "HERE"}, "model": "large"})).replace('"HERE"', text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("100", "100"), ("0", "0"), ("-0", "0"), ("0.10", "0.1"), ("-0.0", "0"), ("100.00000000000000000", "100"),
        ("1.000000000001", "1.000000000001"), ("123456789012345", "123456789012345"),
        ("1234567890.12345", "1234567890.12345"),
        ('"100"', "100"), ('"007.50"', "7.5"), ('"12345678901234567890123456.123456789012"', "12345678901234567890123456.123456789012"),
        (f'"{10**38 - 1}"', f"{10**38 - 1}"), ('"1.0000000000000"', "1"),
        ('"0.000000000001"', "0.000000000001"), ('"0000000000000000000000000000000000000001"', "1"),
    ],
)  # fmt: skip
def test_a_number_is_kept_as_it_is_written(text: str, kept: str) -> None:
    assert read(carrying(text)) == (
        [{"event_type": "prompt", "quantities": {"tokens": kept}, "attributes": {"model": "large"}}], []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("1234567890123456", "NUMBER_RANGE", "as a JSON number at most 15. Send more digits as a text"),
        ("0.1000000000000000055", "NUMBER_RANGE", "quantity tokens is 0.1000000000000000055"),
        ("123456789012345678901234567890", "WRONG_TYPE|NUMBER_RANGE", "quantity tokens is 1"),
        ('"1.0000000000001"', "NUMBER_RANGE", "12 of them after the point"),
        (f'"{10**38}"', "NUMBER_RANGE", "at most 38 digits"), ('"123456789012345678901234567.123456789012"', "NUMBER_RANGE", "at most 38 digits"),
        ("-1", "NEGATIVE", "a quantity is not negative"), ('"-0.5"', "NEGATIVE", "is -0.5"), ("1e3", "WRONG_TYPE", "write a number in digits"),
        ('"1e3"', "WRONG_TYPE", "is 1e3"), ('"many"', "WRONG_TYPE", "is many"), ('""', "WRONG_TYPE", "digits"), ("true", "WRONG_TYPE", "is true"),
        ('{"n": 1}', "WRONG_TYPE", "quantity tokens"), ("[1]", "WRONG_TYPE", "quantity tokens"), ('"NaN"', "WRONG_TYPE", "NaN"),
    ],
)  # fmt: skip
def test_what_is_no_exact_quantity_is_refused_by_its_name(text: str, reason: str, words: str) -> None:
    events, ((found, detail),) = read(carrying(text))
    assert events == []
    assert re.fullmatch(reason, found)
    assert words in detail


def test_what_is_not_there_is_no_zero() -> None:
    """A missing path, and null. An event of another type carries its type alone."""
    lines = [
        event(data={"model": "m"}),
        event(data={"usage": {"tokens": None}}),
        event(data="text"),
        event(type="ping", data={"usage": {"tokens": 5}}),
        event(),
    ]
    events, refused = read(*map(json.dumps, lines))
    assert refused == []
    assert [row["quantities"] for row in events] == [None] * 5
    assert [row["attributes"] for row in events] == [{"model": "m"}, None, None, None, None]
    assert [row["event_type"] for row in events] == ["prompt", "prompt", "prompt", "ping", "prompt"]


def test_three_events_of_100_tokens_are_300_tokens() -> None:
    """Alone, in a batch, and as OpenMeter's client sends them: numbers and texts."""
    single = json.dumps(event(1, data={"usage": {"tokens": 100}}))
    batch = json.dumps([event(2, data={"usage": {"tokens": "100"}}), event(3, data={"usage": {"tokens": 100.0}})])
    events, refused = read(single, batch)
    assert refused == []
    assert sum(Decimal(row["quantities"]["tokens"]) for row in events) == 300


@st.composite
def quantities(draw: st.DrawFn) -> str:
    """The JSON of a quantity: a text of up to 38 digits, or a number of up to 15, with zeros that change nothing."""
    is_text = draw(st.booleans())
    digits = draw(st.integers(1, 38 if is_text else 15).flatmap(lambda length: st.integers(0, 10**length - 1)))
    written = f"{Decimal(digits).scaleb(-draw(st.integers(0, 12)), EXACT):f}"
    written += "0" * draw(st.integers(0, 3)) if "." in written else ""
    return f'"{written}"' if is_text else written


EXACT = Context(prec=50)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(quantities(), NAMES), min_size=1, max_size=6), st.booleans())
def test_any_quantities_and_attributes_are_those_of_pythons_json(drawn: list[tuple[str, str]], is_batch: bool) -> None:
    texts = []
    for number, (quantity, model) in enumerate(drawn):
        made = event(number, data={"usage": {"tokens": "HERE"}, "model": model})
        texts.append(json.dumps(made).replace('"HERE"', quantity))
    events, refused = read(*([f"[{','.join(texts)}]"] if is_batch else texts))
    assert refused == []
    parsed = [json.loads(text, parse_float=Decimal, parse_int=Decimal)["data"] for text in texts]
    assert [Decimal(row["quantities"]["tokens"]) for row in events] == [Decimal(p["usage"]["tokens"]) for p in parsed]
    assert [row["attributes"]["model"] for row in events] == [p["model"] for p in parsed]
    assert not any(re.search(r"\.\d*0$|\.$|^0\d", row["quantities"]["tokens"]) for row in events)


KONG = {
    "request": {"method": "POST", "uri": "/v1/chat", "id": "r1"}, "response": {"status": 200}, "started_at": 1790812800000, "consumer": {"username": "x"},
    "ai": {"proxy": {"usage": {"prompt_tokens": 812, "completion_tokens": 95}, "meta": {"request_model": "large", "is_stream": False}}},
}  # fmt: skip


def test_the_line_of_an_ai_gateway_carries_what_its_source_names() -> None:
    """Input and output of Kong's AI proxy. A line without them is a request like any other."""
    fields = Source.model_validate(
        {"id": "edge", "fields": {
            "quantities": {"output_tokens": "ai/proxy/usage/completion_tokens", "input_tokens": "ai/proxy/usage/prompt_tokens"},
            "attributes": {"model": "ai/proxy/meta/request_model", "stream": "ai/proxy/meta/is_stream"},
        }}
    )  # fmt: skip
    plain = {name: value for name, value in KONG.items() if name != "ai"}
    events, refused = read(
        json.dumps(KONG), json.dumps(plain), log_format="kong", line_properties=line_properties(fields)
    )
    assert refused == []
    assert events == [
        {"event_type": None, "quantities": {"input_tokens": "812", "output_tokens": "95"}, "attributes": {"model": "large", "stream": "false"}},
        {"event_type": None, "quantities": None, "attributes": None},
    ]  # fmt: skip


TOKENS = tuple(of_fields("quantity", {"input": "ai/proxy/usage/prompt_tokens"}))
MODEL = tuple(of_fields("attribute", {"model": "ai/proxy/meta/request_model"}))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param(f"2026-10-05T09:00:00.123456789Z stdout F {json.dumps(KONG)}", ["812"], id="in a line of a container"),
        pytest.param(f"[{json.dumps(KONG)}, {json.dumps(KONG | {'took': 0.5})}]", ["812", "812"], id="a list, with a decimal in it"),
    ],
)  # fmt: skip
def test_each_record_of_a_line_carries_its_own(line: str, found: list[str]) -> None:
    events, refused = read(line, log_format="kong", line_properties=TOKENS)
    assert refused == []
    assert [row["quantities"] for row in events] == [{"input": text} for text in found]


def test_records_in_an_envelope_carry_their_own() -> None:
    """As an event hub sends them: not the members of the envelope."""
    records = [
        {
            "time": "2026-10-05T09:00:00Z", "category": "GatewayLogs", "correlationId": f"{tokens}",
            "properties": {"method": "GET", "url": "https://a/b", "responseCode": 200, "tokens": tokens},
        }
        for tokens in (8, 9.5)
    ]  # fmt: skip
    asked = tuple(of_fields("quantity", {"tokens": "properties/tokens"}))
    events, refused = read(json.dumps({"records": records}), log_format="azure_apim", line_properties=asked)
    assert refused == []
    assert [row["quantities"] for row in events] == [{"tokens": "8"}, {"tokens": "9.5"}]


def test_a_text_line_carries_nothing_and_harms_nothing() -> None:
    """A source of JSON lines may get one, and a worker that stops at it would stop at it again."""
    text = '203.0.113.9 - - [05/Oct/2026:09:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl"'
    events, refused = read(text, log_format="nginx", line_properties=TOKENS)
    assert refused == []
    assert [row["quantities"] for row in events] == [None]


@pytest.mark.parametrize("log_format", ["cloudevents", "kong"])
def test_a_name_that_occurs_twice_on_the_path_is_not_guessed_at(log_format: str) -> None:
    """Parsers differ in which of the two they take."""
    entry, asked = (event(data={"usage": {"tokens": 1}}), ASKED) if log_format == "cloudevents" else (KONG, TOKENS)
    once = json.dumps(entry)
    twice = once.replace('"usage": {', '"usage": {"tokens": 2, "prompt_tokens": 3, ')
    rules = {"event_properties" if log_format == "cloudevents" else "line_properties": asked}
    assert read(once, log_format=log_format, **rules)[1] == []
    events, ((reason, detail),) = read(twice, log_format=log_format, **rules)
    assert (events, reason) == ([], "DUPLICATE_KEY")
    assert "occurs twice" in detail


def test_bytes_that_are_not_utf_8_are_shown_in_an_attribute() -> None:
    """A client may have chosen it, and must not escape its bill by a byte."""
    line = json.dumps(KONG).encode().replace(b'"large"', b'"la\xffrge"') + b"\n"
    decoder = Decoder("kong", SourceRules("s", partner="acme", line_properties=MODEL), OWNERS)
    decoded = decoder.decode(framing.split_lines(line, 0), "g")
    assert decoded.events["attributes"].to_pylist() == [json.dumps({"model": r"la\xffrge"}, separators=(",", ":"))]


@pytest.mark.parametrize("templates_from", [1, 20_000])
def test_large_and_small_blocks_of_events_have_their_types(templates_from: int) -> None:
    """Else a resend in a block of another size were a conflict."""
    lines = [json.dumps(event(n, type=f"t{n % 2}")) for n in range(6)]
    events, refused = read(*lines, templates_from=templates_from, event_properties=())
    assert refused == []
    assert [row["event_type"] for row in events] == ["t0", "t1"] * 3


def test_names_with_points_are_single_members() -> None:
    """As the access log of Envoy AI Gateway names them."""
    line = {**KONG, "gen_ai.usage.input_tokens": "12"}
    properties = tuple(of_fields("quantity", {"input": "gen_ai.usage.input_tokens"}))
    assert read(json.dumps(line), log_format="kong", line_properties=properties)[0][0]["quantities"] == {"input": "12"}


def test_meters_name_the_properties_of_events() -> None:
    """Each once, of the types that they count."""
    meter = {
        "aggregate": "sum", "quantity": "tokens", "unit": "token", "filter": {"types": ["prompt"]}, "value_property": "$.usage.tokens", "group_by": {"model": "$.model"},
    }  # fmt: skip
    meters = [Meter.model_validate({"id": name, **meter}) for name in ("a", "b")]
    catalog = Catalog.model_construct(meters=tuple(meters))
    assert event_properties(catalog) == ASKED
    assert isinstance(ASKED[0], EventProperty)


BATCH = [event(n, subject="c-acme", data={"usage": {"tokens": 100}}) for n in range(3)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("\n".join(json.dumps(each) for each in BATCH).encode() + b"\n", id="an event a line"),
        pytest.param(json.dumps(BATCH).encode() + b"\n", id="a batch"),
    ],
)
def test_records_of_kafka_and_requests_over_http_carry_them(body: bytes) -> None:
    """Three events of 100 tokens, as OpenMeter's clients send them. The columns are in the messages of ingest, too."""
    decoder = Decoder("cloudevents", SourceRules("edge", event_properties=ASKED), SENDERS)
    verdict = judge([RequestLines(body, T0_US, has_key=False)], decoder, LATE_US, LATE_US)[0]
    assert (verdict.accepted, verdict.refused, verdict.text) == (3, [], body)
    record = Records(
        [body],
        [[("format", b"cloudevents"), ("source", b"edge")]],
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.full(1, T0_US),
    )
    batch = records.read(record, lambda *_: SourceDecoder(decoder, LATE_US, LATE_US), lambda _: "g")
    sent = [wire.decoded(each.value, each.headers).rows for each in records.event_messages(batch, 4)]
    texts = pa.concat_tables(sent)["quantities"].to_pylist()
    assert sum(Decimal(json.loads(text)["tokens"]) for text in texts) == 300


def test_a_wrong_quantity_is_told_to_the_sender() -> None:
    """By its place in the request. Only what is right is sent on."""
    decoder = Decoder("cloudevents", SourceRules("edge", event_properties=ASKED), SENDERS)
    wrong = event(9, subject="c-acme", data={"usage": {"tokens": 0.30000000000000004}})
    text = "".join(json.dumps(each) + "\n" for each in [BATCH[0], wrong]).encode()
    verdict = judge([RequestLines(text, T0_US, has_key=False)], decoder, LATE_US, LATE_US)[0]
    assert verdict.accepted == 1
    assert [(each.place, each.code) for each in verdict.refused] == [(1, "NUMBER_RANGE")]
    assert b"0.30000000000000004" not in verdict.text
