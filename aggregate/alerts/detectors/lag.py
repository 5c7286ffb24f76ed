"""Lag of Tollbook: a source whose newest events are older than its usual pauses explain.

`behind` is the time from the end of the newest window (15 minutes) with events of a source to the clock. A source is
behind if `behind` exceeds LIMIT_MIN and twice its longest pause in the week up to its newest event. Only a source with
at least WINDOWS_MIN windows with events in that week is judged, and none that is more than a week old when it is first
judged: it is history that was imported, or a gateway that was shut down.

The alert begins with the time of the newest event. It ends when the source is not behind any more, with the time up to
which it has come by then. It is the only kind that depends on a clock, and not on events alone: whether the gateway
sends nothing or Tollbook reads nothing cannot be told from events.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.alerts import Alert, Kind, Statement
from schemas.windows import WINDOW_US, from_us

LIMIT_MIN = timedelta(minutes=30)
OLDEST = timedelta(days=7)
WINDOWS_MIN = 96  # as many as a day has
_WINDOW = timedelta(microseconds=WINDOW_US)


def alerts(rows: Iterable[Mapping[str, Any]], statements: Iterable[Statement], now: datetime) -> list[Alert]:
    """The alerts of the sources in the rows of aggregate/sql/standstills.sql.

    statements: the newest statement about each alert on lag. One that goes on stays as it is until its source has
    caught up, so a source that catches up slowly has one alert.
    """
    open_ = {s.alert.subject: s.alert for s in statements if s.holds and s.alert.ends_at is None}
    found = []
    for row in rows:
        newest = from_us((row["newest"] + 1) * WINDOW_US)
        behind = now - newest
        limit = max(LIMIT_MIN, 2 * row["longest_gap"] * _WINDOW)
        if (known := open_.get(row["source"])) is not None:
            found.append(known if behind > limit else known._replace(ends_at=newest))
        elif limit < behind <= OLDEST and row["windows"] >= WINDOWS_MIN:
            found.append(_alert(row["source"], newest, behind, limit))
    return found


def material(alert: Alert) -> object:
    """The part whose change is stated."""
    return alert.at, alert.ends_at


def _alert(source: str, newest: datetime, behind: timedelta, limit: timedelta) -> Alert:
    second = timedelta(seconds=1)
    return Alert(
        Kind.LAG,
        source,
        {"since": newest.isoformat()},
        newest,
        {"newest": newest.isoformat(), "behind_s": behind // second, "limit_s": limit // second},
    )
