"""SIGINT and SIGTERM: the first one stops a command gracefully, the second one ends the process at once.

While modules load, the first one ends the process at once, too.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

_AGAIN = 75  # tollbook.cli.errors.AGAIN, before it is loaded
_ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def loading() -> Iterator[None]:
    """End the process at the first SIGINT or SIGTERM: nothing is done yet, and an import may swallow exceptions.

    Garbage is not collected meanwhile. There is none yet, and it would take a tenth of the time.
    """
    before = {each: signal.signal(each, _end) for each in _ENDS}
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at the first SIGINT or SIGTERM. Yields the list of received signals."""
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        raise KeyboardInterrupt

    with _first_signal(stop):
        yield came


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets, for commands that run until they are stopped."""
    stop = threading.Event()
    with _first_signal(lambda _: stop.set()):
        yield stop


@contextmanager
def _first_signal(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Call `on_signal` with the first SIGINT or SIGTERM. A second one ends the process at once."""

    def handle(number: int, _: object) -> None:
        for each in _ENDS:
            signal.signal(each, signal.SIG_DFL)
        on_signal(number)

    before = {each: signal.signal(each, handle) for each in _ENDS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end(*_: object) -> NoReturn:
    sys.stderr.write("error: interrupted before anything was done; repeat the command\n")
    sys.stderr.flush()
    os._exit(_AGAIN)
