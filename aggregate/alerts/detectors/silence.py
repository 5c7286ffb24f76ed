"""Silence of a partner that always sends at that hour of the week.

Time is divided into windows of 15 minutes. A window is *busy* if the partner has at least BUSY requests in it. A window
is *expected* if all four windows of the same hour of the week, in each of the four weeks before, were busy. A silence
begins with an expected window without a request that is followed by another one, so it lasts for half an hour at
least. It ends when the next window with a request begins, and after a week at the latest: then silence is the habit.

A window counts as empty only if all logs that the partner used on its last day have events after it. So a log that is
late is no silence of a partner, and a partner that is alone in its log is never silent: that is the lag of a source.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.alerts import Alert, Kind
from schemas.windows import WINDOW_US, from_us

BUSY = 5  # with an average of 12 requests a window, 1 in 160,000 is empty, and 9 of 10 hours are still expected
WEEKS = 4
LONGEST = timedelta(days=7)
_WEEK_WINDOWS = 672


def alert_of(row: Mapping[str, Any]) -> Alert:
    """The alert of a row of aggregate/sql/silences.sql."""
    began = _start(row["began"])
    latest = row["began"] + _WEEK_WINDOWS
    known = row["resumed"] if row["resumed"] is not None else row["seen"]
    is_over = row["resumed"] is not None or known >= latest
    return Alert(
        Kind.SILENCE,
        row["partner_id"],
        {"since": began.isoformat()},
        began,
        {
            "last_requests_until": None if row["last"] is None else _start(row["last"] + 1).isoformat(),
            "usual_requests_per_hour": int(row["usual"]),
        },
        row["partner_id"],
        _start(min(known, latest)) if is_over else None,
    )


def material(alert: Alert) -> object:
    """The part whose change is stated."""
    return alert.at, alert.ends_at


def _start(window: int) -> datetime:
    return from_us(window * WINDOW_US)
