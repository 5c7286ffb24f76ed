"""One run at a time on a lake: a clear message for whoever starts a second one."""

from collections.abc import Iterator
from contextlib import contextmanager

from lake import lock
from lake.lake import Lake


class Busy(Exception):
    """Another run is active on this lake. Repeat the command when it has ended."""


@contextmanager
def alone(lake: Lake, name: str = ".run.lock", who: str = "another run") -> Iterator[None]:
    """Allow one run at a time, for a clear error message. The fence in the lake's commits protects the books."""
    try:
        with lake.lock(name):
            yield
    except lock.Taken:
        raise Busy(f"{who} is active on {lake}; repeat the command when it has ended") from None
