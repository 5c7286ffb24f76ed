"""Alerts on noisy neighbours: loads of the lake, the rule from `aggregate.alerts.detectors.neighbour`.

Only the times that a change can matter for are read: a window is compared with the hour before it, an incident begins
only after an hour without noise, and lasts at most two hours.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from aggregate import engine
from aggregate.alerts.detectors import neighbour
from aggregate.alerts.detectors.neighbour import HOUR_US, WINDOW_US, Load, Others, TrafficShare, WindowSpan, window_of
from billing.usage.warehouse import Meters
from lake import duck
from schemas.alerts import Alert, Kind
from schemas.tables import TIME
from schemas.windows import from_us, to_us
from schemas.zones import utc_midnight
from tollbook.alerting.scene import Detector, Scene

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_REACH = neighbour.LONGEST_HOURS * _HOUR
_SPANS = pa.schema([("span", pa.int64()), ("partner_id", pa.string()), ("span_start", TIME), ("span_end", TIME)])
Times = tuple[datetime, datetime]  # [start, end)


def evaluate(scene: Scene) -> list[Alert]:
    """The incidents that begin in the examined times."""
    found = []
    for start, end in _examined(scene):
        begin, until = start - _REACH, end + _REACH
        shares = great_shares(scene.house, begin, until)
        if not shares:
            continue
        complete = window_of(newest(scene.house, until))
        for incident in neighbour.incidents(shares, lambda spans: others(scene.house, spans), until=complete):
            alert = neighbour.alert_of(incident)
            if alert.at is not None and start <= alert.at < end:
                found.append(alert)
    return found


def covers(scene: Scene, alert: Alert) -> bool:
    """Whether the incident begins in the examined times."""
    return alert.at is not None and any(start <= alert.at < end for start, end in _examined(scene))


def great_shares(house: Meters, begin: datetime, until: datetime, window_us: int = WINDOW_US) -> list[TrafficShare]:
    """The windows of [begin, until) in which a partner has a great share (aggregate/sql/great_shares.sql)."""
    params = {
        **bounds(begin, until), "window_us": window_us, "hour": HOUR_US // window_us, "great": neighbour.GREAT,
        "least": neighbour.REQUESTS_MIN,
    }  # fmt: skip
    return [
        TrafficShare(
            row["partner_id"],
            row["window"],
            Load(row["requests"], row["bytes"], row["time_us"]),
            Load(row["all_requests"], row["all_bytes"], row["all_time_us"]),
            Load(row["requests_before"], row["bytes_before"], row["time_us_before"]),
            Load(row["all_requests_before"], row["all_bytes_before"], row["all_time_us_before"]),
            row["windows_before"],
        )
        for row in duck.rows(engine.run(house.con, "great_shares", params))
    ]


def others(house: Meters, spans: Sequence[WindowSpan], window_us: int = WINDOW_US) -> dict[WindowSpan, Others]:
    """How the others were served in spans of windows. Spans without others are absent."""
    asked = list(dict.fromkeys(spans))
    found: dict[WindowSpan, Others] = {}
    for day in _by_day(asked, window_us):
        rows = [
            {"span": i, "partner_id": s.partner_id, "span_start": from_us(s.start * window_us), "span_end": from_us(s.end * window_us)}
            for i, s in enumerate(day)
        ]  # fmt: skip
        begin, until = min(s.start for s in day), max(s.end for s in day)
        params = bounds(from_us(begin * window_us), from_us(until * window_us))
        table = engine.run(house.con, "others", params, spans=pa.Table.from_pylist(rows, _SPANS))
        for row in table.to_pylist():
            found[day[row["span"]]] = Others(row["requests"], row["errors"], row["timed"], row["p95_us"])
    return found


def _by_day(spans: Sequence[WindowSpan], window_us: int) -> Iterator[list[WindowSpan]]:
    """The spans by the day of their start, so that days between them are not read."""

    def day(span: WindowSpan) -> int:
        return span.start * window_us // (24 * HOUR_US)

    for _, some in itertools.groupby(sorted(spans, key=day), day):
        yield list(some)


def _examined(scene: Scene) -> list[Times]:
    """The times in which an incident may have changed its begin, its end or its figures."""
    return scene.once("times of neighbours", lambda: list(_times(scene)))


def _times(scene: Scene) -> Iterator[Times]:
    first_change = None if scene.changed is None else min(scene.changed.values(), default=None)
    for first, last in _runs(scene.days):
        lower, upper = utc_midnight(first), utc_midnight(last) + _DAY
        if scene.changed is not None:
            if first_change is None or first_change >= upper:
                continue  # nothing was counted, only refused
            lower = max(lower, first_change)
        (before,) = engine.run(scene.house.con, "window_before", {"instant": lower}).to_pylist()
        if (newest := before["window_start"]) is not None:  # its last windows may have become complete
            lower = min(lower, newest.astimezone(UTC))
        yield lower - _REACH, upper + _REACH


def newest(house: Meters, until: datetime) -> datetime:
    """The time of the newest event, or a later one than `until` if usage goes on behind it."""
    (extent,) = house.query("extent").to_pylist()
    start = extent["last_window"]
    if start is None or start >= until:
        return until
    day = start.astimezone(UTC).date()
    (row,) = engine.run(house.con, "newest", {"day": day, "start": start}).to_pylist()
    found: datetime = row["occurred_at"] or start
    return found


def bounds(begin: datetime, until: datetime) -> Mapping[str, object]:
    """The parameters of a statement over events of [begin, until), with the UTC days of both."""
    last = from_us(to_us(until) - 1)
    return {"first": begin.date(), "last": last.date(), "begin": begin, "until": until}


def _runs(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """First and last of each run of days that ascend. Days that are two or fewer apart are read together."""
    run: list[date] = []
    for day in days:
        if run and day - run[-1] > 2 * _DAY:
            yield run[0], run[-1]
            run = []
        run.append(day)
    if run:
        yield run[0], run[-1]


DETECTOR = Detector(kind=Kind.NEIGHBOUR, evaluate=evaluate, covers=covers, material=neighbour.material)
