"""SIGINT and SIGTERM: the first ends a command in order, the second ends the process at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, once; the signals that came. A second one ends the process at once."""
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        raise KeyboardInterrupt

    with _first_signal(stop):
        yield came


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """For commands that run until they are told to end: set at the first SIGINT or SIGTERM; a second one ends the process at once."""
    asked = threading.Event()
    with _first_signal(lambda _: asked.set()):
        yield asked


@contextmanager
def _first_signal(heard: Callable[[int], None]) -> Iterator[None]:
    """`heard` is given the first SIGINT or SIGTERM; a second one ends the process at once."""
    ends = (signal.SIGINT, signal.SIGTERM)

    def handle(number: int, _: object) -> None:
        for each in ends:
            signal.signal(each, signal.SIG_DFL)
        heard(number)

    before = {each: signal.signal(each, handle) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
