"""Which sources are behind the clock: both sides of each bound, and one alert until a source has caught up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aggregate.alerts.detectors import lag
from aggregate.alerts.reconcile import reconciled
from schemas.alerts import Alert, State, Statement
from schemas.windows import WINDOW_US, to_us

NEWEST = datetime(2026, 10, 9, 12, tzinfo=UTC)  # the end of the newest window
MINUTE = timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)


def row(newest: datetime = NEWEST, windows: int = 96, longest_gap: int = 0) -> dict[str, Any]:
    return {"source": "edge", "newest": to_us(newest) // WINDOW_US - 1, "windows": windows, "longest_gap": longest_gap}


def told(statements: dict[str, Statement], rows: list[dict[str, Any]], now: datetime) -> list[tuple[State, Alert]]:
    """What is stated now. The ledger is `statements`."""
    current = lag.alerts(rows, list(statements.values()), now)
    due = reconciled(statements, current, lambda _: False, events_version=None, material=lag.material)
    statements |= {statement.alert_id: statement for statement in due}
    return [(statement.state, statement.alert) for statement in due]


@pytest.mark.parametrize(
    ("source", "behind", "expected"),
    [
        pytest.param(row(), 30 * MINUTE, False, id="half an hour"),
        pytest.param(row(), 30 * MINUTE + INSTANT, True, id="a little more"),
        pytest.param(row(longest_gap=4), 120 * MINUTE, False, id="twice its longest pause"),
        pytest.param(row(longest_gap=4), 120 * MINUTE + INSTANT, True, id="more than twice its longest pause"),
        pytest.param(row(windows=95), 60 * MINUTE, False, id="less than a day with events"),
        pytest.param(row(), timedelta(days=7), True, id="a week"),
        pytest.param(row(), timedelta(days=7) + INSTANT, False, id="history"),
        pytest.param(row(), -5 * MINUTE, False, id="a clock that is slow"),
    ],
)
def test_a_source_is_behind(source: dict[str, Any], behind: timedelta, *, expected: bool) -> None:
    assert bool(lag.alerts([source], [], NEWEST + behind)) is expected


def test_a_source_has_one_alert_until_it_has_caught_up() -> None:
    """It comes on slowly, and stands still again later. An evaluation that is repeated states nothing."""
    ledger: dict[str, Statement] = {}
    [(state, alert)] = told(ledger, [row()], NEWEST + 45 * MINUTE)
    assert (state, alert.subject, alert.at, alert.ends_at) == (State.FIRED, "edge", NEWEST, None)
    assert alert.evidence == {"newest": "2026-10-09T12:00:00+00:00", "behind_s": 2700, "limit_s": 1800}
    assert told(ledger, [row()], NEWEST + timedelta(days=8)) == []
    later = NEWEST + timedelta(days=1)
    assert told(ledger, [row(later)], later + 45 * MINUTE) == []
    later += timedelta(hours=1)
    [(state, alert)] = told(ledger, [row(later)], later + 5 * MINUTE)
    assert (state, alert.at, alert.ends_at) == (State.RESTATED, NEWEST, later)
    assert told(ledger, [row(later)], later + 5 * MINUTE) == []
    [(state, alert)] = told(ledger, [row(later)], later + 31 * MINUTE)
    assert (state, alert.at) == (State.FIRED, later)
    assert told(ledger, [], later + timedelta(days=30)) == []
