"""Alerts on throttle breaches: counts of seconds from the lake, the rule from `aggregate.alerts.detectors.throttle`.

Only the days that changed are read, and the days beside them as far as they matter: the tokens of a partner that never
rests depend on the days before, and an episode may run over midnight.
"""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from aggregate import engine
from aggregate.alerts.detectors import throttle
from aggregate.alerts.detectors.throttle import QUIET_S, SecondCount, Throttled
from schemas.alerts import Alert, Kind
from schemas.money import EXACT
from schemas.tables import TIME
from schemas.windows import from_us
from schemas.zones import utc_midnight
from tollbook.alerting.scene import Detector, Scene

_DAY = timedelta(days=1)
_FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_THROTTLES = pa.schema(
    [("span", pa.int64()), ("partner_id", pa.string()), ("span_start", TIME), ("span_end", TIME), ("rate_per_s", pa.decimal128(38, 9))]
)  # fmt: skip


class ThrottledTime(NamedTuple):
    """The time [start, end) in which a partner has a plan with a throttle."""

    throttled: Throttled
    start: datetime
    end: datetime


Counts = Mapping[int, list[SecondCount]]  # by the number of a span, ascending


def evaluate(scene: Scene) -> list[Alert]:
    """The episodes that touch a day that changed, or the day after it, of partners whose usage changed."""
    spans = [span for span in spans_of(scene) if scene.changed is None or span.throttled.partner_id in scene.changed]
    found: list[Alert] = []
    for first, last in _runs(_examined(scene)):
        heavy = _counts(scene, dict(enumerate(spans)), (first - _DAY, last + _DAY), within=(first, last))
        for number, counts in sorted(heavy.items()):
            episodes = _episodes(scene, spans[number], counts, first, last)
            found += [throttle.alert_of(episode, spans[number].throttled) for episode in episodes]
    return list({alert.alert_id: alert for alert in found}.values())


def covers(scene: Scene, alert: Alert) -> bool:
    """Whether the episode touches a day that was examined, and its partner's usage changed."""
    if alert.at is None or alert.ends_at is None:
        return False
    is_changed = scene.changed is None or alert.subject in scene.changed
    days = {alert.at.date(), (alert.ends_at - timedelta(seconds=1)).date()}
    return is_changed and bool(days & _examined(scene))


def spans_of(scene: Scene) -> list[ThrottledTime]:
    """The times of all partners with a throttled plan."""
    found = []
    for partner in scene.catalog.partners:
        for assigned in partner.plans:
            limit = scene.catalog.plan(assigned.plan).throttle
            if limit is None:
                continue
            start, end = partner.validity_us(assigned)
            found.append(
                ThrottledTime(
                    Throttled(partner.id, assigned.plan, limit.rate_per_s, limit.burst),
                    max(_LONG_AGO, from_us(start)),
                    _FOREVER if assigned.valid_to is None else from_us(end),
                )
            )
    return found


def _examined(scene: Scene) -> set[date]:
    """The days that changed, and the days after them: tokens and episodes reach over midnight."""
    return {day + later for day in scene.days for later in (timedelta(), _DAY)}


def _runs(days: set[date]) -> Iterator[tuple[date, date]]:
    """First and last of each run of consecutive days, ascending."""
    for _, run in itertools.groupby(enumerate(sorted(days)), lambda item: item[1] - item[0] * _DAY):
        numbered = list(run)
        yield numbered[0][1], numbered[-1][1]


def _episodes(
    scene: Scene, span: ThrottledTime, counts: list[SecondCount], first: date, last: date
) -> list[throttle.Episode]:
    """The episodes that touch the days from `first` to `last`, by counts of these and of the day before and after.

    More days are read until they are exact.
    """
    (extent,) = scene.house.query("extent").to_pylist()
    begin = max(span.start, extent["first_window"].astimezone(UTC))
    until = min(span.end, extent["last_window"].astimezone(UTC) + _DAY)
    before, after = first - _DAY, last + _DAY
    while True:
        episodes = throttle.breaches(counts, span.throttled).episodes
        episodes = [e for e in episodes if e.last >= _second(first) and e.first < _second(last + _DAY)]
        is_exact = utc_midnight(before) <= begin or throttle.is_full_before(counts, _second(first), span.throttled)
        is_ended = utc_midnight(after) >= until or all(e.last + QUIET_S < _second(after + _DAY) for e in episodes)
        if is_exact and is_ended:
            return episodes
        before -= timedelta() if is_exact else _DAY
        after += timedelta() if is_ended else _DAY
        counts = _counts(scene, {0: span}, (before, after), within=(first, last))[0]


def _counts(
    scene: Scene, spans: Mapping[int, ThrottledTime], read: tuple[date, date], *, within: tuple[date, date]
) -> Counts:
    """The counts on the days `read` of the spans that have a second above their rate on the days `within`."""
    rows = [
        {
            "span": number,
            "partner_id": span.throttled.partner_id,
            "span_start": span.start,
            "span_end": span.end,
            "rate_per_s": EXACT.create_decimal(span.throttled.rate_per_s),
        }
        for number, span in spans.items()
    ]
    params = {
        "first": read[0], "last": read[1], "since": _second(within[0]), "until": _second(within[1] + _DAY),
    }  # fmt: skip
    table = engine.run(scene.house.con, "seconds", params, throttles=pa.Table.from_pylist(rows, _THROTTLES))
    found: dict[int, list[SecondCount]] = {}
    columns = (table[name].to_pylist() for name in ("span", "second", "requests", "refused"))
    for number, *count in zip(*columns, strict=True):
        found.setdefault(number, []).append(SecondCount(*count))
    return found


def _second(day: date) -> int:
    return int(utc_midnight(day).timestamp())


DETECTOR = Detector(kind=Kind.THROTTLE, evaluate=evaluate, covers=covers)
