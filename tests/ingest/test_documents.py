"""Documents longer than a line may be are cut into their records, as a parser would cut them, wherever the brackets stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.documents import records
from ingest.framing import LINE_BYTES_MAX, split_lines, whole_document
from tests.ingest.cloud_lines import KONG_RECORD, S3_READ, otlp_request
from tests.ingest.fixtures import kong

TEXTS = st.text('a"\\{}[],:\u00e9\n', max_size=8)
LEAVES = st.none() | st.integers() | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=8
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=6)


@given(OBJECTS, st.sampled_from(["array", "Records", "records"]), st.sampled_from([None, 1]))
def test_records_are_those_of_a_parser(objects: list[dict[str, Any]], kind: str, indent: int | None) -> None:
    """Quotes, backslashes and brackets inside of texts, on one line or on many."""
    document = json.dumps(objects if kind == "array" else {kind: objects}, indent=indent).encode()
    found = records(document)
    assert [json.loads(record.text) for record in found] == objects
    assert all(document[record.start : record.start + 1] == b"{" for record in found)


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
