"""The alert rule: at the threshold and not before, each once, passed ones marked, corrections withdraw."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregate.quota import Fired, Rule, due, level, projection

D = Decimal
START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
RULE = Rule("acme", "requests", "plan", "MONTH", START, END, D(1000), tuple(D(t) for t in (50, 80, 90, 100, 120)))
NOON = START + timedelta(days=10)


NOTHING = Fired()


def fired(used: str, held: Fired = NOTHING) -> list[tuple[str, str, bool]]:
    return [(a.kind, str(a.threshold_percent), a.passed) for a in due(RULE, D(used), held, seen_until=NOON)]


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        pytest.param("499.999999999", [], id="the last unit below"),
        pytest.param("500", [("quota", "50", False)], id="exactly at it"),
        pytest.param(
            "950",
            [("quota", "50", True), ("quota", "80", True), ("quota", "90", False)],
            id="from nothing to 95 percent",
        ),
        pytest.param(
            "1000",
            [("quota", "50", True), ("quota", "80", True), ("quota", "90", True), ("quota", "100", False)],
            id="used up: used >= limit",
        ),
    ],
)
def test_thresholds(used: str, expected: list[tuple[str, str, bool]]) -> None:
    """Fires when usage >= threshold; the lower of several at once are marked as passed."""
    assert fired(used) == expected


def test_what_has_fired_does_not_fire_again_and_a_correction_withdraws_once() -> None:
    """The ledger decides; nothing is deleted."""
    assert fired("850", Fired([D(50), D(80)])) == []
    assert fired("700", Fired([D(50), D(80)])) == [("withdrawn", "80", False)]
    assert fired("700", Fired([D(50), D(80)], [D(80)])) == []
    assert fired("850", Fired([D(50), D(80)], [D(80)])) == [], "and it does not fire a second time"


@given(st.lists(st.decimals(0, 3000, places=3, allow_nan=False), max_size=12))
def test_however_usage_grows_each_threshold_fires_once(steps: list[Decimal]) -> None:
    """Any sequence of growing totals gives the same alerts as the last total alone."""
    held: list[Decimal] = []
    ids = []
    for used in sorted(steps):
        for alert in due(RULE, used, Fired(tuple(held)), seen_until=NOON):
            held.append(alert.threshold_percent)
            ids.append(alert.alert_id)
    assert len(ids) == len(set(ids))
    assert held == [t for t in RULE.thresholds if steps and max(steps) >= level(RULE, t)]


def test_projection() -> None:
    """At the average so far; none when it is used up, or will not be before the period ends."""
    assert projection(RULE, D(500), NOON) == START + timedelta(days=20)
    assert projection(RULE, D(1000), NOON) is None
    assert projection(RULE, D(100), NOON) is None
    assert projection(RULE, D(0), NOON) is None
