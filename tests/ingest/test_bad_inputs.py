"""Every kind of bad input, sent among 1,000 good events: these are counted, it gets its one answer, and the books balance."""

import ast
import os
import random
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoded, Decoder, SourceRules
from ingest.kafka import records
from ingest.kafka.record_groups import Records
from ingest.kafka.records import DecodedBatch, SourceDecoder
from schemas.reasons import Reason
from tests.ingest.bad_inputs import DAY_MS, ELSEWHERE, HTTP_ONLY, INPUTS, MINUTE_MS, Input, event, tagged
from tests.ingest.fixtures import OWNERS, T0_MS
from tests.long import amount

ROOT = Path(__file__).parent.parent.parent
GOOD = amount(200, 1000)
MUTATIONS = amount(2, 4, 100)
SEED = int(os.environ.get("FUZZ_SEED", "20261001"))
FIELD = {"cloudevents": "subject", "kong": "partner"}
LINES = [case for case in INPUTS if not case.whole]


@cache
def decoder(format_name: str) -> Decoder:
    rules = SourceRules("edge", may_tag=True, partner_field=FIELD[format_name], event_types=("request",))
    return Decoder(format_name, rules, OWNERS)


@cache
def good(format_name: str) -> list[bytes]:
    """GOOD lines, ids ok-0, ok-1 and so on."""
    if format_name == "cloudevents":
        return [event(id=f"ok-{i}") for i in range(GOOD)]
    return [tagged("acme", request__id=f"ok-{i}") for i in range(GOOD)]


def reading(format_name: str, _: str) -> SourceDecoder:
    return SourceDecoder(decoder(format_name), 35 * DAY_MS * 1000, 5 * MINUTE_MS * 1000, key_is_partner=True)


def sent(case: Input) -> DecodedBatch:
    """The good lines in records of 100, half of them before the bad record and half after it."""
    lines = good(case.format)
    bunches = [b"".join(lines[i : i + 100]) for i in range(0, GOOD, 100)]
    middle = len(bunches) // 2
    values: list[bytes | None] = [*bunches[:middle], case.value, *bunches[middle:]]
    said = [("format", case.format.encode()), ("source", b"edge")]
    received = np.full(len(values), T0_MS * 1000)
    received[middle] += case.late_ms * 1000
    return records.read(
        Records(
            values,
            [[*said, *case.headers] if i == middle else said for i in range(len(values))],
            np.zeros(len(values), np.int64),
            np.arange(len(values)),
            received,
            [case.key if i == middle else None for i in range(len(values))],
        ),
        reading,
        lambda partition: f"access/{partition}",
    )


def in_file(case: Input) -> Decoded:
    """The good lines with the bad one in their midst, as the text of a file."""
    assert case.value is not None
    lines = good(case.format)
    ended = case.value if case.value.endswith(b"\n") else case.value + b"\n"
    return decoder(case.format).decode(
        split_lines(b"".join([*lines[: GOOD // 2], ended, *lines[GOOD // 2 :]]), 0), "gen"
    )


def assert_outcome(case: Input, read: DecodedBatch | Decoded) -> None:
    rows: list[dict[str, Any]] = read.events.to_pylist()
    ids = [str(row["event_id"]).removeprefix("svc ") for row in rows]
    assert [i for i in ids if i.startswith("ok-")] == [f"ok-{i}" for i in range(GOOD)]
    refused = read.refused.to_pylist()
    assert tuple(row["reason"] for row in refused) == case.reasons
    bad = [row for row, i in zip(rows, ids, strict=True) if not i.startswith("ok-")]
    assert len(bad) == len({row["event_id"] for row in bad}) == case.counted
    for row in bad[:1]:
        assert {name: row[name] for name in case.shows} == case.shows
    for row in refused:
        assert row["detail"]
        assert case.whole or row["raw_sha256"]
    for row in refused[:1]:
        assert case.detail in row["detail"]


@pytest.mark.integration
@pytest.mark.sampled(keep=30)
@pytest.mark.parametrize("case", INPUTS, ids=lambda c: f"{c.number}: {c.name}")
def test_a_bad_record_of_a_topic_has_its_one_answer(case: Input) -> None:
    """Entries read = counted + refused, for this record and for its neighbours, by what ingest itself says it has read."""
    read = sent(case)
    assert_outcome(case, read)
    said = {
        offset: row["entries"]
        for row in read.ingested.to_pylist()
        for offset in range(row["from_offset"], row["to_offset"])
    }
    midst = GOOD // 200
    assert said == {i: len(case.reasons) + case.counted if i == midst else 100 for i in range(GOOD // 100 + 1)}


@pytest.mark.integration
@pytest.mark.parametrize("case", LINES, ids=lambda c: f"{c.number}: {c.name}")
@pytest.mark.sampled(keep=48)
def test_a_bad_line_of_a_file_has_the_same_answer(case: Input) -> None:
    """A log may come through a topic or as a file: the reason must not depend on it."""
    assert_outcome(case, in_file(case))


def test_all_kinds_are_accounted_for() -> None:
    """None of the 86 is left out, by mistake or on purpose."""
    numbers = {case.number for case in [*INPUTS, *ELSEWHERE, *HTTP_ONLY]}
    assert numbers == set(range(1, 87))


@pytest.mark.parametrize("case", [*ELSEWHERE, *HTTP_ONLY], ids=lambda c: f"{c.number}: {c.name}")
def test_what_is_proved_elsewhere_is_proved_there(case: Any) -> None:
    """A test that was renamed or taken out would leave a kind unproved."""
    file, _, name = case.test.partition("::")
    tests = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name in tests


# --- Mutations: pieces of an input replaced by what breaks parsers, knowing what JSON is made of.
PIECES = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.]+(?:[eE][+-]?[0-9]+)?|[{}\[\]:,]|true|false|null')
BREAKERS = [
    b"", b"null", b"true", b'""', b'"x"', b"[]", b"{}", b"[" * 40, b"}" * 3, b"-1", b"1e999", b"9" * 60, b"NaN", b"0.1", b'"\\ud800"', b'"\\u0000"', b"\xff", b"\x00",
    b"\x1b[31m", b",", b":", b'"id":"again",', b"\\", b'"\xc3\xa9"', b"\xe2\x80\xa8", b"\xef\xbb\xbf", b'"' + b"y" * 70_000 + b'"', b"{" * 40 + b"}" * 40,
]  # fmt: skip


def mutated(value: bytes, rng: random.Random) -> bytes:
    """`value` with one to three of its pieces replaced, doubled, exchanged or taken out; one line."""
    for _ in range(rng.randint(1, 3)):
        spans = [m.span() for m in PIECES.finditer(value[:4000])] or [(0, len(value))]
        start, end = rng.choice(spans)
        piece = value[start:end]
        other = rng.choice(spans)
        by = rng.choice([*BREAKERS, piece * 2, value[slice(*other)], value[start : start + len(piece) // 2]])
        value = value[:start] + by + value[end:]
    return value.replace(b"\n", b" ")[: 1 << 18]


@pytest.mark.parametrize("number", sorted({case.number for case in LINES}))
@pytest.mark.slow
def test_mutations_of_each_kind_are_classified_and_lose_nothing(number: int) -> None:
    """Each line is one entry or, where it is a batch, several; none without an outcome, none without a reason of the list."""
    rng = random.Random(SEED * 100 + number)
    kinds = [case for case in LINES if case.number == number and case.value is not None]
    for format_name in sorted({case.format for case in kinds}):
        values = [case.value or b"" for case in kinds if case.format == format_name]
        lines = [mutated(rng.choice(values), rng) for _ in range(MUTATIONS)]
        beside = good(format_name)[:100]
        framed = split_lines(b"\n".join([*beside[:50], *lines, *beside[50:]]), 0)
        decoded = decoder(format_name).decode(framed, "gen")
        outcomes = Counter(decoded.events["position"].to_pylist()) + Counter(decoded.refused["position"].to_pylist())
        texts = dict(zip(framed.lines["position"].to_pylist(), framed.lines["line"].to_pylist(), strict=True))
        empty = {at for at, text in texts.items() if format_name == "cloudevents" and text.strip() in ("[]", "[ ]")}
        assert outcomes.keys() == texts.keys() - empty, f"FUZZ_SEED={SEED}"
        assert set(decoded.refused["reason"].to_pylist()) <= set(Reason.__members__)
        ids = {str(i).removeprefix("svc ") for i in decoded.events["event_id"].to_pylist()}
        assert ids >= {f"ok-{i}" for i in range(100)}
