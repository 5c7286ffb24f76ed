"""Real gateway lines parse to the values they are known to parse to. The samples belong to others and lie beside the checkout."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.__main__ import _record
from ingest.decode import Parser
from ingest.text import frames

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
FORMATS = ("kong", "aws_apigw")


def files() -> Iterator[Any]:
    manifest = SAMPLES / "MANIFEST.json"
    if not manifest.exists():
        yield pytest.param(
            None, marks=pytest.mark.skip(reason="the log samples (shared/cases/logs) do not lie beside this checkout")
        )
        return
    for entry in json.loads(manifest.read_text()):
        if entry["format"] in FORMATS:
            yield pytest.param(entry, id=entry["file"])


def agrees(got: dict[str, Any], expected: dict[str, Any]) -> bool:
    if "error" in expected:
        return "refused" in got or ("_lenient" in expected and agrees(got, expected["_lenient"]))
    fields = [f for f in FIELDS if f not in expected.get("_ambiguous", {})]
    return "refused" not in got and all(got[f] == expected[f] for f in fields)


@pytest.mark.parametrize("entry", list(files()))
def test_every_record_agrees(entry: dict[str, Any]) -> None:
    """One result for each record, in order."""
    path = SAMPLES / entry["file"]
    expected = [json.loads(text) for text in Path(f"{path}.expected.jsonl").read_text().splitlines()]
    parser = Parser(entry["format"])
    got = [_record(row) for framed in frames(path) for row in parser.parse(framed).to_pylist()]
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert agrees(mine, theirs), f"got {mine}\nexpected {theirs}"
