"""Exact dedup: the same verdicts as a dictionary gives, in any cut, with any hash."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregate.landing import dedup
from aggregate.landing.dedup import CONFLICT, COUNTED, DUPLICATE, DedupIndex, Keys
from lake import duck
from tests.aggregate.fixtures import DAY_US, PLAIN, T0_US, event
from tests.long import amount

CON = duck.connect(1)
EMPTY = dedup.keys(CON, PLAIN.empty_table())


def keys(rows: list[dict[str, Any]]) -> Keys:
    return dedup.keys(CON, pa.Table.from_pylist(rows, PLAIN))


def verdicts(state: DedupIndex, *rows: dict[str, Any]) -> list[int]:
    return [int(v) for v in state.classify(keys(list(rows)))]


def test_first_is_counted_the_same_again_is_a_duplicate_another_payload_a_conflict() -> None:
    """Also when the conflict itself is sent again: the first stays the measure."""
    state = DedupIndex(lambda _: EMPTY)
    assert verdicts(state, event("a"), event("a"), event("a", status=500), event("b")) == [
        COUNTED,
        DUPLICATE,
        CONFLICT,
        COUNTED,
    ]
    assert verdicts(state, event("a"), event("a", status=500)) == [DUPLICATE, CONFLICT]


@pytest.mark.parametrize("field", ["latency_us", "client_network", "position", "generation"])
def test_what_cannot_change_a_bill_does_not_make_a_conflict(field: str) -> None:
    """Latency, client and place in the log."""
    value = {"latency_us": 9, "client_network": "10.0.0.0/24", "position": 7, "generation": "h"}[field]
    assert verdicts(DedupIndex(lambda _: EMPTY), event("a"), event("a", **{field: value})) == [COUNTED, DUPLICATE]


@pytest.mark.parametrize(
    "field",
    [
        "partner_id",
        "credential",
        "credential_kind",
        "service",
        "method",
        "route",
        "status",
        "request_bytes",
        "response_bytes",
    ],
)
def test_what_can_change_a_bill_makes_a_conflict(field: str) -> None:
    """Every column that a meter, a price or an attribution could look at."""
    value: object = 207 if field in {"status", "request_bytes", "response_bytes"} else "other"
    assert verdicts(DedupIndex(lambda _: EMPTY), event("a"), event("a", **{field: value})) == [COUNTED, CONFLICT]


def test_another_source_is_another_identity() -> None:
    """The key is (source, event_id)."""
    assert verdicts(DedupIndex(lambda _: EMPTY), event("a"), event("a", source="other")) == [COUNTED, COUNTED]


@pytest.mark.parametrize("shift_us", [-1, DAY_US - 1], ids=["the day before", "the day itself"])
def test_an_identity_is_found_across_midnight_in_the_lake(shift_us: int) -> None:
    """A conflict that changes the time is noticed on the neighbouring day, at any age, from the lake alone."""
    stored = keys([event("a", T0_US)])
    day = int(stored.day[0])
    state = DedupIndex(lambda wanted: stored if wanted == day else EMPTY)
    assert verdicts(state, event("a", T0_US + shift_us), event("b", T0_US + shift_us)) == [CONFLICT, COUNTED]


@pytest.mark.integration
def test_days_are_let_go_and_asked_for_again() -> None:
    """The limit bounds memory, not exactness."""
    lake: dict[int, list[dict[str, Any]]] = {}
    asked: list[int] = []

    def load(day: int) -> Keys:
        asked.append(day)
        return keys(lake.get(day, []))

    state = DedupIndex(load, limit=5)
    for n in range(30):
        row = event(f"e{n}", T0_US + n * DAY_US)
        assert verdicts(state, row) == [COUNTED]
        lake[int(keys([row]).day[0])] = [row]
    assert state.open_identities <= 5
    assert verdicts(state, *(event(f"e{n}", T0_US + n * DAY_US) for n in range(30))) == [DUPLICATE] * 30
    assert len(asked) > len(set(asked))


EVENTS = st.lists(
    st.builds(
        lambda i, d, s: event(f"id{i}", T0_US + d * DAY_US // 3, status=200 + s),
        st.integers(0, 12), st.integers(0, 2), st.integers(0, 1),
    ),
    max_size=40,
)  # fmt: skip


@pytest.mark.integration
@settings(max_examples=amount(25, 80), deadline=None)
@given(EVENTS, st.lists(st.integers(1, 9), min_size=1, max_size=8), st.booleans())
def test_verdicts_are_those_of_a_dictionary_in_any_cut(
    rows: list[dict[str, Any]], cuts: list[int], colliding: bool
) -> None:
    """Batches of any size, and hashes that all collide: strings decide."""
    state = DedupIndex(lambda _: EMPTY)
    got: list[int] = []
    rest, n = rows, 0
    while rest:
        size = cuts[n % len(cuts)]
        batch = keys(rest[:size])
        if colliding:
            batch = batch._replace(identity=batch.identity % np.uint64(3))
        got += [int(v) for v in state.classify(batch)]
        rest, n = rest[size:], n + 1
    first: dict[str, dict[str, Any]] = {}
    expected = []
    for row in rows:
        known = first.setdefault(row["event_id"], row)
        expected.append(COUNTED if known is row else DUPLICATE if known == row else CONFLICT)
    assert got == expected
