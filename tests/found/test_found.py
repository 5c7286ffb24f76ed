"""Lines that were found in the field are read as what they are. Each case is a log and what it says, with its source.

A case is two files in `cases`: NAME.log, and NAME.expected.json with the format, where it was found, why it matters,
and its entries. Only the fields that are given are compared.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from billing.catalog import loading as catalogs
from ingest.__main__ import _record
from ingest.attribution.catalog_rules import attribution, source_rules
from ingest.decode.pipeline import Decoder, Parser
from ingest.files.block_reader import frames

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name.removesuffix(".expected.json") for path in CASES.glob("*.expected.json"))
STEP = 1e-6  # of latencies, to the nanosecond


def same(got: Any, expected: Any) -> bool:
    if isinstance(got, dict) and got.get("kind") == "none":
        got = None
    if isinstance(got, int | float) and isinstance(expected, int | float):
        return abs(got - expected) < STEP
    return bool(got == expected)


def differences(got: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {name: got.get(name) for name, value in expected.items() if not same(got.get(name), value)}


@pytest.mark.sampled(keep=12)
@pytest.mark.parametrize("name", NAMES)
def test_a_found_log_is_read_as_what_it_says(name: str) -> None:
    """A line that is misread is lost money, or a dispute."""
    case = json.loads((CASES / f"{name}.expected.json").read_text())
    parser = Parser(case["format"])
    got = [_record(row) for lines in frames(CASES / f"{name}.log") for row in parser.parse(lines).to_pylist()]
    assert len(got) == len(case["entries"])
    assert [differences(mine, theirs) for mine, theirs in zip(got, case["entries"], strict=True)] == [{}] * len(got)


@pytest.mark.parametrize("format_name", ["kong", "nginx"])
def test_a_claimed_user_is_billed_for_nothing(format_name: str) -> None:
    """Whoever a client has named in an Authorization header would have paid for it."""
    folder = CASES.parent / "claimed-user"
    book = catalogs.load(folder / "catalog-1")
    decoder = Decoder(format_name, source_rules(book, "edge", None), attribution(book))
    counted = sum(decoder.decode(lines, "g").events.num_rows for lines in frames(folder / f"{format_name}.log"))
    assert counted == 0
