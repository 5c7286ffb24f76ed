"""Tells a sink of alerts that have ended without a statement: a quota with its period, a breach that is over.

The end of an alert is due when its time has come by the clock. If an alert had ended before it was sent, its end is
told at the look after the next, so that the receiver shows it to somebody first. What was told is kept in a file of the
lake's folder, `.sinks/NAME.ends`, replaced after each look. A process that dies in between tells the same ends again.
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from aggregate.alerts import ledger
from aggregate.alerts.ledger import Ledger
from aggregate.alerts.messages import cloud_event
from aggregate.sinks import notices
from aggregate.sinks.sink import Answer, Outcome, Sink
from lake import atomic_file
from lake.errors import LakeError
from lake.lake import Lake
from schemas.zones import utc_text

LOOK_S = 60.0  # between two looks


class Looked(NamedTuple):
    """The last look: its time, and the commits of table `alerts` at it and at the one before.

    done: alerts of a look that was not completed, whose ends were told.
    """

    until: datetime
    version: int
    before: int
    done: tuple[str, ...] = ()


class Ends:
    """The ends that one sink has yet to be told of. For one thread."""

    def __init__(self, lake: Lake, sink: Sink, folder: Path, *, clock: Callable[[], datetime]) -> None:
        """A sink that is new to the lake is told of what ends from now on."""
        self._lake = lake
        self._sink = sink
        self._clock = clock
        self._path = folder / f"{sink.name}.ends"
        self._book = ledger.read(lake)
        self._due_s = float("-inf")  # by the monotonic clock
        found = _looked(self._path)
        version = self._book.table.version
        self._looked = found or Looked(clock(), version, version)
        if found is None:
            self._keep(self._looked)

    def look(self, goes_on: Callable[[], bool] = lambda: True) -> Outcome:
        """Tell the sink of what has ended since the last look, until one fails. Call it when nothing waits for it."""
        now, last = self._clock(), self._looked
        self._book = ledger.advanced(self._lake, self._book)
        version = self._book.table.version
        done = list(last.done)
        outcome = Outcome(Answer.DELIVERED)
        for notice in ended(self._lake, self._book, last, now):
            if notice.alert_id in last.done or (view := self._sink.route.view(notice)) is None:
                continue
            outcome = self._sink.end(view, now) if goes_on() else Outcome(Answer.AGAIN, "slow")
            if outcome.answer is not Answer.DELIVERED:
                break
            done.append(notice.alert_id)
        is_complete = outcome.answer is Answer.DELIVERED
        self._looked = Looked(now, version, last.version) if is_complete else last._replace(done=tuple(done))
        if done or self._looked[1:] != last[1:]:
            self._keep(self._looked)
        return outcome

    @property
    def is_due(self) -> bool:
        """Whether the last look is LOOK_S ago."""
        return time.monotonic() >= self._due_s

    def look_if_due(self, goes_on: Callable[[], bool] = lambda: True) -> Outcome:
        """Look, but once in LOOK_S at most."""
        if not self.is_due:
            return Outcome(Answer.DELIVERED)
        self._due_s = time.monotonic() + LOOK_S
        return self.look(goes_on)

    def _keep(self, looked: Looked) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        content = json.dumps({**looked._asdict(), "until": utc_text(looked.until)}) + "\n"
        atomic_file.replace(self._path, content.encode())


def ended(lake: Lake, book: Ledger, last: Looked, now: datetime) -> Iterator[notices.Notice]:
    """The alerts that hold and whose end is due, by their ends.

    An alert that a statement of the newest commits is about waits for the next look.
    """
    young = _stated(lake, book, last.version, book.table.version)
    told_over = _stated(lake, book, last.before, last.version)
    due = []
    for alert_id, statement in book.statements.items():
        ends_at = statement.alert.ends_at
        if not statement.holds or ends_at is None or ends_at > now or alert_id in young:
            continue
        if ends_at > last.until or alert_id in told_over:
            due.append((ends_at, alert_id))
    for _, alert_id in sorted(due):
        yield notices.notice(cloud_event(book.statements[alert_id]))


def _stated(lake: Lake, book: Ledger, after: int, until: int) -> set[str]:
    """The alerts that the statements of some commits are about."""
    return {
        s.alert_id for version in range(after + 1, until + 1) for s in ledger.stated(lake, version, book.statements)
    }


def _looked(path: Path) -> Looked | None:
    try:
        found = json.loads(path.read_bytes())
        return Looked(datetime.fromisoformat(found["until"]), found["version"], found["before"], tuple(found["done"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as exc:
        raise LakeError(
            f"{path} cannot be read ({exc}); without it, the sink is told of what ends from now on"
        ) from exc
