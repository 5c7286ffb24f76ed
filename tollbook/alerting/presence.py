"""Alerts on partners and sources that send nothing, and on partners that send far more or less than usual.

The rules are those of `aggregate.alerts.detectors.silence`, `jump` and `lag`; this module gives them rows of the lake.

Silences and jumps compare with the weeks before, and are judged by the quarter of an hour. If nothing changed but the
newest window, nothing is examined.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from aggregate import engine
from aggregate.alerts.detectors import jump, lag, silence
from schemas.alerts import Alert, Kind
from schemas.catalog.records import Partner
from schemas.windows import EPOCH, WINDOW_US, to_us
from tollbook.alerting.scene import Detector, Scene

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_INSTANT = timedelta(microseconds=1)
_WEEKS_COMPARED = 4


def silences(scene: Scene) -> list[Alert]:
    """The silences that do not end before the time that is examined, of partners with a plan that are not suspended."""
    first = _examined_from(scene)
    if first is None:
        return []
    # A silence lasts for a week at most, and so do the expected windows in a pause. One that begins before `begin`, of
    # which a part is found, ends before the examined time in any case.
    begin = max(EPOCH, first - 2 * silence.LONGEST)
    params = {
        "first": to_us(begin) // WINDOW_US,
        "first_day": max(EPOCH, begin - _WEEKS_COMPARED * _WEEK).date(),
        "busy": silence.BUSY,
    }
    found = [silence.alert_of(row) for row in engine.run(scene.house.con, "silences", params).to_pylist()]
    awaited = {partner.id: partner for partner in scene.catalog.partners if partner.status != "suspended"}
    return [
        alert
        for alert in found
        if _reaches(alert, first) and alert.subject in awaited and _has_plan(awaited[alert.subject], alert.at)
    ]


def covers_silence(scene: Scene, alert: Alert) -> bool:
    """Whether the silence reaches the time that is examined."""
    first = _examined_from(scene)
    return first is not None and _reaches(alert, first)


def jumps(scene: Scene) -> Sequence[Alert]:
    """The jumps of the days that are examined."""
    days = sorted(_examined_days(scene))
    if not days:
        return []
    read = sorted({day - week * _WEEK for day in days for week in range(_WEEKS_COMPARED + 1)})
    params = {"days": days, "read": read, "first": read[0], "factor": jump.FACTOR, "difference": jump.DIFFERENCE}
    rows = engine.run(scene.house.con, "jumps", {**params, "weeks": jump.WEEKS_MIN}).to_pylist()
    return list(jump.alerts(rows))


def covers_jump(scene: Scene, alert: Alert) -> bool:
    """Whether the day of the jump is examined."""
    return date.fromisoformat(alert.key["day"]) in _examined_days(scene)


def lags(scene: Scene) -> list[Alert]:
    """The alerts on sources that go on or end now. A process that does not follow its logs has none."""
    if not scene.follows:
        return []
    now = scene.now.astimezone(UTC)
    # A week before the newest event of a source, which is at most a week old when it is first judged.
    rows = engine.run(scene.house.con, "standstills", {"first_day": (now - 2 * lag.OLDEST).date()}).to_pylist()
    return lag.alerts(rows, scene.statements.values(), now)


def _examined_from(scene: Scene) -> datetime | None:
    """The time from which windows may have become empty or expected, or may be known to be empty now. None: none."""
    if scene.seen_until is None or scene.is_in_newest_window:
        return None
    if scene.changed is None:
        return EPOCH
    instants = [*scene.changed.values(), *([] if scene.seen_before is None else [scene.seen_before])]
    open_ = [s.alert.at for s in scene.statements.values() if s.holds and s.alert.at and s.alert.ends_at is None]
    # The first events of a source after a pause tell that the windows of the pause are empty.
    return max(EPOCH, min([min(instants) - _DAY, *open_])) if instants else None


def _reaches(alert: Alert, first: datetime) -> bool:
    return alert.ends_at is None or alert.ends_at >= first


def _has_plan(partner: Partner, instant: datetime | None) -> bool:
    """Whether a request at this time would be one under a plan, or our own."""
    if partner.is_internal or instant is None:
        return True
    validity = (partner.validity_us(assigned) for assigned in partner.plans)
    return any(start <= to_us(instant) < end for start, end in validity)


def _examined_days(scene: Scene) -> set[date]:
    """The days that changed, those that are compared with them, and those whose last hours they show to be over."""
    if scene.seen_until is None or scene.is_in_newest_window:
        return set()
    changed = set(scene.days)
    if scene.seen_before is not None:
        changed.add((scene.seen_before - _INSTANT).date())
    days = {day + week * _WEEK for day in changed for week in range(_WEEKS_COMPARED + 1)}
    return {day for day in days | {day - _DAY for day in changed} if day <= scene.seen_until.date()}


SILENCE = Detector(kind=Kind.SILENCE, evaluate=silences, covers=covers_silence, material=silence.material)
JUMP = Detector(kind=Kind.JUMP, evaluate=jumps, covers=covers_jump, material=jump.material)
# An alert ends, and nothing that happens later withdraws it.
LAG = Detector(kind=Kind.LAG, evaluate=lags, covers=lambda *_: False, material=lag.material)
