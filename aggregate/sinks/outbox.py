"""Delivers table `alerts` to one sink, in the order of its commits, with a cursor that survives.

The cursor is a file of the lake's folder, replaced after each delivery. A process that dies in between sends that one
statement again, with the same id. A sink that fails keeps its place, and delays no other sink.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from aggregate.alerts import ledger
from aggregate.alerts.messages import cloud_event
from aggregate.sinks import notices
from aggregate.sinks.ends import Ends
from aggregate.sinks.notices import Notice
from aggregate.sinks.retries import Backoff, repeated
from aggregate.sinks.sink import Answer, Outcome, Sink, view
from lake import atomic_file
from lake.errors import LakeError
from lake.lake import Lake
from schemas.alerts import Statement
from schemas.tables import ALERTS

FOLDER = ".sinks"  # in the lake's folder
_LOOK_S = 0.5  # between two looks for a commit


class Cursor(NamedTuple):
    """The commit to send next, and how many of its statements are done with."""

    version: int
    done: int


class Outbox:
    """What one sink has yet to get. It is for one thread, and one process at a time may deliver from a lake."""

    def __init__(self, lake: Lake, sink: Sink, *, log: logging.Logger, clock: Callable[[], datetime]) -> None:
        """A sink that is new to the lake begins with what is recorded from now on."""
        self.sink = sink
        self._lake = lake
        self._log = log
        self._clock = clock
        self._path = lake.root / FOLDER / sink.name
        newest = lake.open(ALERTS).version
        found = _cursor(self._path)
        self._cursor = found or Cursor(newest + 1, 0)
        if self._cursor.version > newest + 1:
            raise LakeError(
                f"{self._path} is ahead of table `alerts`, which ends with commit {newest}: delete the file"
            )
        if found is None:
            self._keep(self._cursor)
        self._book = ledger.read(lake, self._cursor.version - 1)
        self._waiting: list[Statement] = []
        self._refreshed_s = float("-inf")  # by the monotonic clock
        self._ends = Ends(lake, sink, self._path.parent, clock=clock) if sink.tells_ends else None

    def send_all(self, stop: threading.Event) -> Outcome:
        """Try each waiting notice once, until one fails or `stop` is set. The outcome is that of the last attempt."""
        outcome = Outcome(Answer.DELIVERED)
        while (following := self._next()) is not None:
            if stop.is_set():
                return Outcome(Answer.AGAIN, "slow")
            if (outcome := self._attempt(following)).answer is not Answer.DELIVERED:
                return outcome
            self._done()
        if self.sink.refresh_s is not None:
            outcome = self._refresh(at_once=True)
        if self._ends is not None:
            outcome = self._ends.look(lambda: not stop.is_set())
        return outcome

    def run(self, stop: threading.Event, *, backoff: Backoff = Backoff()) -> None:  # noqa: B008  # a constant
        """Send until stopped and nothing is left to try, or until the sink wants nothing more."""
        while True:
            stopping = stop.is_set()
            if (following := self._next()) is not None:
                if not self._repeated(following, stop, backoff):
                    return
            elif stopping:
                return
            else:
                self._refresh()
                self._look_for_ends(stop)
                stop.wait(_LOOK_S)

    def _look_for_ends(self, stop: threading.Event) -> None:
        if self._ends is not None:
            outcome = self._ends.look_if_due(lambda: not stop.is_set())
            if outcome.answer is not Answer.DELIVERED:
                self._log.warning("sink %s: not told of all ends: %s", self.sink.name, outcome.reason)

    def _repeated(self, notice: Notice, stop: threading.Event, backoff: Backoff) -> bool:
        """Whether to go on."""
        tried = 0

        def attempt() -> Outcome:
            nonlocal tried
            tried += 1
            return self._attempt(notice)

        answer = repeated(
            attempt,
            backoff,
            rest=lambda seconds: _ignore(stop.wait(seconds)),
            goes_on=lambda: not (stop.is_set() and tried),
            report=lambda last, number, wait_s: self._log.warning(
                "sink %s: %s; attempt %d, again in %s s", self.sink.name, last.reason, number, wait_s
            ),
        )
        if answer is Answer.DELIVERED:
            self._done()
        elif answer is Answer.DISABLED:
            self._log.error("sink %s: answered 410 and gets no more until the next start", self.sink.name)
        return answer is Answer.DELIVERED

    def _next(self) -> Notice | None:
        """The next notice for the sink. What its route leaves out is done with."""
        while True:
            if not self._waiting:
                following = ledger.next_of(self._lake, self._book)
                if following is None:
                    return None
                self._book, new = following
                done = self._cursor.done if self._cursor.version == self._book.table.version else 0
                self._cursor = Cursor(self._book.table.version, done)
                self._waiting = new[done:]
                if not self._waiting:
                    self._keep(Cursor(self._cursor.version + 1, 0))
                    continue
            notice = view(self.sink, notices.notice(cloud_event(self._waiting[0])))
            if notice is not None:
                return notice
            self._done()

    def _attempt(self, notice: Notice) -> Outcome:
        return self.sink.send(notice, self._clock())

    def _done(self) -> None:
        del self._waiting[0]
        at = self._cursor
        self._keep(Cursor(at.version, at.done + 1) if self._waiting else Cursor(at.version + 1, 0))

    def _keep(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        atomic_file.replace(self._path, (json.dumps(cursor._asdict()) + "\n").encode())

    def _refresh(self, *, at_once: bool = False) -> Outcome:
        every_s = self.sink.refresh_s
        if every_s is None or (not at_once and time.monotonic() - self._refreshed_s < every_s):
            return Outcome(Answer.DELIVERED)
        self._refreshed_s = time.monotonic()
        views = (self.sink.route.view(notice) for notice in _holding(self._book.statements.values()))
        outcome = self.sink.refresh([each for each in views if each is not None], self._clock())
        if outcome.answer is not Answer.DELIVERED:
            self._log.warning("sink %s: not refreshed: %s", self.sink.name, outcome.reason)
        return outcome


def holding(lake: Lake) -> list[Notice]:
    """All alerts of a lake that hold, as notices."""
    return _holding(ledger.read(lake).statements.values())


def _holding(statements: Iterable[Statement]) -> list[Notice]:
    return [notices.notice(cloud_event(s)) for s in statements if s.holds]


def deliver(sinks: Sequence[Sink], statements: Sequence[Statement], now: datetime) -> dict[str, list[Outcome]]:
    """Send statements to sinks, one attempt each, without a cursor: for tests of a route and for replays."""
    return {
        sink.name: [
            sink.send(notice, now)
            for statement in statements
            if (notice := view(sink, notices.notice(cloud_event(statement)))) is not None
        ]
        for sink in sinks
    }


def _cursor(path: Path) -> Cursor | None:
    try:
        return Cursor(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as exc:
        raise LakeError(f"{path} cannot be read ({exc}); without it, the sink begins with what comes next") from exc


def _ignore(_: object) -> None:
    return None
