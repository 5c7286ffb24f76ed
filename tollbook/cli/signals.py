"""SIGINT and SIGTERM: the first one stops a command gracefully, the second one ends the process at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
    ends = (signal.SIGINT, signal.SIGTERM)

    def handle(number: int, _: object) -> None:
        for each in ends:
            signal.signal(each, signal.SIG_DFL)
        on_signal(number)

    before = {each: signal.signal(each, handle) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
