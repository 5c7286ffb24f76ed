"""Real gateway lines parse to the values they are known to parse to. The samples belong to others and lie beside the checkout."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingest.__main__ import _record
from ingest.decode import formats
from ingest.decode.framing import Lines, whole_document
from ingest.decode.pipeline import Parser
from ingest.files.block_reader import frames

SAMPLES = Path(__file__).parent.parent.parent.parent / "shared" / "cases" / "logs"
FIELDS = [
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
    "identity",
    "service",
    "host",
]
LATENCY_STEP_MS = 1e-6  # the samples give fractions of a millisecond to the nanosecond
MANIFEST = SAMPLES / "MANIFEST.json"
ABSENT = "the log samples (shared/cases/logs) do not lie beside this checkout"
parser = cache(Parser)


def files() -> Iterator[Any]:
    if not MANIFEST.exists():
        yield pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))
        return
    for entry in json.loads(MANIFEST.read_text()):
        yield pytest.param(entry, id=entry["file"])


def same(field: str, got: Any, expected: Any) -> bool:
    if field == "latency_ms" and None not in (got, expected):
        return bool(abs(got - expected) <= LATENCY_STEP_MS)
    return bool(got == expected)


def agrees(got: dict[str, Any], expected: dict[str, Any]) -> bool:
    if "error" in expected:
        return "refused" in got or ("_lenient" in expected and agrees(got, expected["_lenient"]))
    fields = [f for f in FIELDS if f not in expected.get("_ambiguous", {})]
    return "refused" not in got and all(same(f, got[f], expected[f]) for f in fields)


def framed(entry: dict[str, Any]) -> Iterator[Lines]:
    path = SAMPLES / entry["file"]
    if entry["framing"].startswith("one Kafka message"):  # text of several lines that is one record
        return iter([whole_document(path.read_bytes(), 0)])
    return frames(path)


@pytest.mark.parametrize("entry", list(files()))
def test_every_record_agrees(entry: dict[str, Any]) -> None:
    """One result for each record, in order, whatever the format: none of those with samples is left out."""
    expected = [json.loads(text) for text in Path(f"{SAMPLES / entry['file']}.expected.jsonl").read_text().splitlines()]
    got = [_record(row) for lines in framed(entry) for row in parser(entry["format"]).parse(lines).to_pylist()]
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert agrees(mine, theirs), f"got {mine}\nexpected {theirs}"


@pytest.mark.skipif(not MANIFEST.exists(), reason=ABSENT)
def test_every_format_has_samples_or_is_known_to_have_none() -> None:
    """A format whose samples are gone would pass unseen."""
    sampled = {entry["format"] for entry in json.loads(MANIFEST.read_text())}
    assert set(formats.names()) - sampled <= {"tyk"}
    assert sampled <= set(formats.names())
