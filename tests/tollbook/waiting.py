"""Waiting for what another process will do."""

import threading
import time
from collections.abc import Callable

from tests.kafka.processes import WAIT_S

_ROUND_S = 0.05


def eventually(holds: Callable[[], bool]) -> None:
    """Return once it holds; fails if it does not within WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"it did not hold within {WAIT_S} s"
        threading.Event().wait(_ROUND_S)
