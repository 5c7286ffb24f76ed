"""Sends the alerts of a local run: a thread for each sink, so that one that fails or is slow delays no other."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from aggregate.sinks.file import sinks
from aggregate.sinks.outbox import Outbox
from aggregate.sinks.sink import Answer, Sink
from lake import lock
from lake.errors import LakeError
from lake.lake import Lake

SEND_S = 20  # after a run; what is left is sent by the next one
_LOCK = ".sinks.lock"  # one process sends


def read(file: Path) -> list[Sink]:
    """The sinks of a file, with secrets from the environment. Raises aggregate.sinks.sink.BadSink, OSError."""
    return sinks(file, os.environ)


class Sending:
    """Sends what is recorded after it was made. The lake must exist."""

    def __init__(self, lake: Lake, receivers: Sequence[Sink], clock: Callable[[], datetime]) -> None:
        self._lake = lake
        self._log = logging.getLogger("tollbook.sinks")
        self._problems: list[str] = []
        with self._lake.lock(_LOCK):
            self._outboxes = [Outbox(lake, sink, log=self._log, clock=clock) for sink in receivers]

    def once(self, *, send_s: float = SEND_S) -> list[str]:
        """Send what is waiting. The sinks that could not be reached, in words: the next run continues with them."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._send_all, args=(each, stop), daemon=True) for each in self._outboxes]
        try:
            with self._lake.lock(_LOCK):
                for thread in threads:
                    thread.start()
                _join(threads, send_s)
                stop.set()
                _join(threads, SEND_S)
        except lock.Taken:
            return ["another run is sending alerts, and will send those of this run"]
        return sorted(self._problems)

    @contextmanager
    def following(self, *, send_s: float = SEND_S) -> Iterator[None]:
        """Send in the background while the block runs, and what it has recorded at its end."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._run, args=(each, stop), daemon=True) for each in self._outboxes]
        with self._lake.lock(_LOCK):
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                stop.set()
                _join(threads, send_s)

    def _send_all(self, outbox: Outbox, stop: threading.Event) -> None:
        try:
            outcome = outbox.send_all(stop)
        except (LakeError, OSError) as exc:
            self._problems.append(f"sink {outbox.sink.name}: {exc}")
            return
        if outcome.answer is not Answer.DELIVERED:
            self._problems.append(f"sink {outbox.sink.name}: {outcome.reason}; the next run sends the rest")

    def _run(self, outbox: Outbox, stop: threading.Event) -> None:
        try:
            outbox.run(stop)
        except (LakeError, OSError) as exc:
            self._log.error("sink %s: %s", outbox.sink.name, exc)  # the message says it all


def _join(threads: Sequence[threading.Thread], limit_s: float) -> None:
    """Wait for all threads together at most `limit_s`."""
    until_s = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
