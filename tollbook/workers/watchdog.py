"""Ends a process that hangs. A supervisor restarts it, and it continues from the lake."""

import logging
import os
import threading
import time
from collections.abc import Callable

from schemas.halts import Halt

EXIT_STALLED = 70


class Watchdog:
    """Ends the process unless `beat` is called at least every `limit_s`, even if it hangs in C code."""

    def __init__(self, limit_s: float, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._log = log
        self._clock = clock
        self._last = clock()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Report progress, or that there is nothing to do."""
        self._last = self._clock()

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._last

    def stop(self) -> None:
        """Stop watching, as the process is ending by itself."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self._limit_s / 4)):
            if self.silent_s > self._limit_s:
                self._log.error(
                    "no progress for %.0f s: ending, so that a supervisor restarts it",
                    self.silent_s,
                    extra={"fields": {"reason": Halt.STALLED}},
                )
                os._exit(EXIT_STALLED)
