"""Documents longer than a line may be are cut into their records, as a parser would cut them, wherever the brackets stand."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode.documents import LINE_BYTES_MAX, records
from ingest.decode.framing import split_lines, whole_document
from ingest.decode.pipeline import Decoded, Decoder, SourceRules
from tests.ingest.cloud_lines import KONG_RECORD, S3_READ, otlp_request
from tests.ingest.fixtures import OWNERS, T0_MS, kong
from tests.long import amount

TEXTS = st.text('a"\\{}[],:\u00e9\n', max_size=8)
LEAVES = st.none() | st.integers() | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=8
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=6)


@pytest.mark.integration
@given(OBJECTS, st.sampled_from(["array", "Records", "records"]), st.sampled_from([None, 1]))
def test_records_are_those_of_a_parser(objects: list[dict[str, Any]], kind: str, indent: int | None) -> None:
    """Quotes, backslashes and brackets inside of texts, on one line or on many."""
    document = json.dumps(objects if kind == "array" else {kind: objects}, indent=indent).encode()
    found = records(document)
    assert [json.loads(record.text) for record in found] == objects
    assert all(document[record.start : record.start + 1] == b"{" for record in found)


@pytest.mark.integration
@given(OBJECTS, st.data())
def test_a_document_that_is_cut_has_no_records(objects: list[dict[str, Any]], data: st.DataObject) -> None:
    """Half a file must not be read as a whole one."""
    document = json.dumps({"Records": objects}).encode()
    assert records(document[: data.draw(st.integers(0, len(document) - 1))]) == []
    assert records(document + b"{}") == []


@pytest.mark.parametrize(
    "document",
    [[{"a": 1}, 2], ["x", {"a": 1}], [[{"a": 1}]], [1, 2], {"Records": [{"a": 1}, None]}, {"Records": {"a": [{"b": 1}]}}, {"other": [{"a": 1}]}],
    ids=str,
)  # fmt: skip
def test_a_document_that_holds_anything_else_is_not_cut(document: Any) -> None:
    """What is no object would get lost between the records: such a document stays one entry."""
    assert records(json.dumps(document).encode()) == []


def test_only_the_first_array_of_a_file_holds_its_records() -> None:
    """What else stands in the envelope is no record."""
    document = json.dumps({"Records": [{"a": [{"b": 1}]}], "more": [{"c": 1}, 2], "x": {"y": [{"z": 1}]}}).encode()
    assert [record.text for record in records(document)] == [b'{"a": [{"b": 1}]}']


def test_a_record_of_otlp_keeps_its_resource() -> None:
    """The name of the service stands in it, once for many records."""
    one, two = (
        otlp_request(KONG_RECORD, KONG_RECORD, service__name="one"),
        otlp_request(KONG_RECORD, service__name="two"),
    )
    document = json.dumps({"resourceLogs": one["resourceLogs"] + two["resourceLogs"]}, indent=1).encode()
    found = [json.loads(record.text) for record in records(document)]
    assert [f["resourceLogs"][0]["resource"]["attributes"][0]["value"]["stringValue"] for f in found] == [
        "one",
        "one",
        "two",
    ]
    assert all(f["resourceLogs"][0]["scopeLogs"][0]["logRecords"] == [KONG_RECORD] for f in found)


LONG = {
    "cloudtrail": ({"Records": [S3_READ | {"eventID": f"e{i}"} for i in range(2000)]}, 2000),
    "kong": ([kong(f"id-{i}") for i in range(4000)], 4000),
    "otlp": (otlp_request(*([KONG_RECORD] * 1500), service__name="s"), 1500),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("lines", ["one", "many"])
def test_a_long_document_is_as_many_lines_as_it_has_records(name: str, lines: str) -> None:
    """Its neighbours stay where they are, and each record knows its own byte."""
    document, count = LONG[name]
    text = json.dumps(document, indent=None if lines == "one" else 1).encode()
    assert len(text) > LINE_BYTES_MAX
    framed = whole_document(text, 0) if lines == "many" else split_lines(b"first\n" + text + b"\nlast\n", 100)
    positions = framed.lines["position"].to_pylist()
    assert framed.unreadable.num_rows == 0
    if lines == "one":
        assert (positions[0], positions[-1]) == (100, 100 + 6 + len(text) + 1)
        positions = positions[1:-1]
    assert len(positions) == len(set(positions)) == count
    base = 0 if lines == "many" else 106
    assert all(text[p - base : p - base + 1] == b"{" for p in positions)


def test_a_record_that_is_itself_too_long_is_one_refusal() -> None:
    """The others of its document count."""
    text = json.dumps([{"a": 1}, {"a": "x" * LINE_BYTES_MAX}, {"a": 2}]).encode()
    framed = split_lines(text, 0)
    assert framed.lines.num_rows == 3
    assert framed.unreadable["reason"].to_pylist() == ["TOO_LARGE"]


def call(**fields: Any) -> str:
    """An access log of API Gateway, as a message."""
    said = {"requestTimeEpoch": str(T0_MS), "status": "200", "apiKeyId": "k-acme", "resourcePath": "/x", **fields}
    return json.dumps(said)


CLF = '203.0.113.9 - - [01/Oct/2026:10:00:00 +0000]"GET /x HTTP/1.1" 200 12 r-1'
MESSAGES = st.one_of(
    st.builds(lambda text: call(requestId=text), TEXTS),
    st.builds(lambda text: call(requestId="r", extendedRequestId=text), TEXTS),
    st.sampled_from([CLF, f"{CLF}\n", "CWL CONTROL MESSAGE: Checking health of destination Firehose.", "{", '{"messageType":"x"}']),
    VALUES,
)  # fmt: skip
LOG_EVENTS = st.lists(
    st.builds(lambda message, more: {"id": "3", "timestamp": T0_MS, **more, **message},
              st.fixed_dictionaries({}, optional={"message": MESSAGES}), st.dictionaries(TEXTS, VALUES, max_size=2)),
    min_size=1, max_size=5,
)  # fmt: skip
FIRST = st.sampled_from(["messageType", "owner"])
AROUND = st.permutations(["messageType", "owner", "logEvents", "logGroup", "subscriptionFilters", "policyLevel"])


def envelope(log_events: object, order: list[str], first: str = "messageType", kind: str = "DATA_MESSAGE") -> bytes:
    """As CloudWatch Logs sends it, in one line; `first` is its first key, the others come in `order`."""
    said = {
        "messageType": kind, "owner": "123456789012", "logEvents": log_events, "logGroup": 'a "{[group',
        "subscriptionFilters": ["one", "t]w{o"], "policyLevel": {"logEvents": [{"message": call(requestId="none")}]},
    }  # fmt: skip
    named = {name: said[name] for name in [first, *order]}
    return json.dumps(named, separators=(",", ":")).encode()


@cache
def gateway() -> Decoder:
    return Decoder("aws_apigw", SourceRules("edge"), OWNERS)


def decode(*lines: bytes) -> Decoded:
    return gateway().decode(split_lines(b"".join(line + b"\n" for line in lines), 0), "gen")


def entries(decoded: Decoded) -> list[tuple[Any, ...]]:
    """What became of each entry, in order, without what says where it stood. Derived ids are told apart from others, not compared."""
    rows = [{**row, "reason": None} for row in decoded.events.to_pylist()] + decoded.refused.to_pylist()
    rows.sort(key=lambda row: (row["position"], row["item"]))
    names = [
        "event_id",
        "partner_id",
        "credential",
        "occurred_at",
        "route",
        "status",
        "response_bytes",
        "reason",
        "detail",
    ]
    return [
        tuple("@" if name == "event_id" and str(row[name]).startswith("@gen:") else row.get(name) for name in names)
        for row in rows
    ]


@pytest.mark.integration
@settings(deadline=None, max_examples=amount(8, 60))
@given(LOG_EVENTS, AROUND, FIRST, st.sampled_from(["DATA_MESSAGE", "CONTROL_MESSAGE"]))
def test_log_events_become_what_they_are_in_their_envelope(
    log_events: list[dict[str, Any]], order: list[str], first: str, kind: str
) -> None:
    """Cut or not, the format reads the same entries: events, and refusals for the same reasons."""
    text = envelope(log_events, order, first, kind)
    found = records(text)
    assert [json.loads(record.text) for record in found] == [
        {"messageType": kind, "logEvents": [each]} for each in log_events
    ]
    stand = [json.JSONDecoder().raw_decode(text[record.start :].decode())[0] for record in found]
    assert stand == log_events
    assert entries(decode(*(record.text for record in found))) == entries(decode(text))


def test_a_log_event_without_an_id_of_its_own_is_known_by_its_own_byte() -> None:
    """A client of a REST stage chooses requestId: the place counts, the same at each reading, whatever stands around the envelope."""
    text = envelope(
        [{"id": str(i), "message": call(requestId="mine", n=i)} for i in range(8000)], ["logEvents", "owner"]
    )
    assert len(text) > LINE_BYTES_MAX
    small = envelope([{"id": "0", "message": call(requestId="mine")}] * 2, ["logEvents"])
    decoded = decode(small, text, small)
    places = [len(small) + 1 + record.start for record in records(text)]
    end = len(small) + 1 + len(text) + 1
    assert len(places) == 8000
    assert decoded.refused.num_rows == 0
    assert decoded.events["event_id"].to_pylist() == [
        "@gen:0", "@gen:0:1", *(f"@gen:{at}" for at in places), f"@gen:{end}", f"@gen:{end}:1"
    ]  # fmt: skip
    assert all(text[at - len(small) - 1 :].startswith(b'{"id":"%d"' % i) for i, at in enumerate(places))
    assert decode(small, text, small).events.equals(decoded.events)


@pytest.mark.integration
def test_a_long_control_message_is_refused_as_a_short_one() -> None:
    """It is no request, however often it says so."""
    checked = {"id": "", "timestamp": T0_MS, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}
    short = decode(envelope([checked], ["logEvents"], kind="CONTROL_MESSAGE"))
    long = decode(envelope([checked] * 10_000, ["logEvents"], kind="CONTROL_MESSAGE"))
    assert short.refused["reason"].to_pylist() == ["NOT_JSON"]
    assert long.refused["reason"].to_pylist() == ["NOT_JSON"] * 10_000
    assert (short.events.num_rows, long.events.num_rows) == (0, 0)


GOOD_EVENT = b'{"message":"a"}'
DAMAGED = {
    "not closed": b'{"messageType":"DATA_MESSAGE","logEvents":[%b]',
    "closed twice": b'{"messageType":"DATA_MESSAGE","logEvents":[%b]}}',
    "no JSON in an event": b'{"messageType":"DATA_MESSAGE","logEvents":[%b,{"message" "b"}]}',
    "no JSON between events": b'{"messageType":"DATA_MESSAGE","logEvents":[%b 5,{"message":"b"}]}',
    "no JSON beside them": b'{"messageType":"DATA_MESSAGE","logEvents":[%b],"owner":yes}',
    "half a surrogate pair": b'{"messageType":"DATA_MESSAGE","logEvents":[%b,{"message":"\\ud83d"}]}',
    "no UTF-8": b'{"messageType":"DATA_MESSAGE","logEvents":[%b,{"message":"\xff"}]}',
    "a surrogate as bytes": b'{"messageType":"DATA_MESSAGE","logEvents":[%b,{"message":"\xed\xa0\xbd"}]}',
    "too deep": b'{"messageType":"DATA_MESSAGE","owner":' + b"[" * 101 + b"]" * 101 + b',"logEvents":[%b]}',
    "twice": b'{"messageType":"DATA_MESSAGE","logEvents":[%b],"logEvents":[{"message":"b"}]}',
    "twice, one of them in other letters": b'{"messageType":"DATA_MESSAGE","logEvent\\u0073":[],"logEvents":[%b]}',
    "an object": b'{"messageType":"DATA_MESSAGE","logEvents":{"a":%b}}',
    "no object in it": b'{"messageType":"DATA_MESSAGE","logEvents":[%b,null]}',
    "a text": b'{"messageType":"DATA_MESSAGE","logEvents":"%b"}',
    "none": b'{"messageType":"DATA_MESSAGE","events":[%b]}',
    "another beginning": b'{"logEvents":[%b],"messageType":"DATA_MESSAGE"}',
    "white space before it": b' {"messageType":"DATA_MESSAGE","logEvents":[%b]}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_envelope_that_is_not_plainly_one_is_not_cut(name: str) -> None:
    """It stays one line, and one refusal: nothing is counted of what would be refused as a whole, or could be read in two ways."""
    assert records(DAMAGED[name] % GOOD_EVENT) == []
    assert len(records(b'{"messageType":"DATA_MESSAGE","logEvents":[%b]}' % GOOD_EVENT)) == 1


def test_keys_and_messages_may_be_written_with_escapes() -> None:
    """As DuckDB reads them; a whole surrogate pair is a character."""
    text = rb'{"owner":"1","logEvent\u0073":[{"mess\u0061ge":"\ud83d\ude00 \"}]{"}],"messageType":"DATA_MESSAGE"}'
    assert [record.text for record in records(text)] == [
        rb'{"messageType":"DATA_MESSAGE","logEvents":[{"mess\u0061ge":"\ud83d\ude00 \"}]{"}]}'
    ]
