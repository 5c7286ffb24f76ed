"""Decides which tests `make unit`, `make test` and `make test-all` run: the unit tests, all tests that are not slow,
all tests.

A test is a unit test unless it has another mark. `integration` marks a test that starts a process, connects, or takes
about a second. Tests that need a broker, and tests in FOLDERS, get it without being marked. `slow` marks a costly test
whose behaviour another test shows more cheaply. `sampled(keep=n)` marks a costly family: n of its cases, evenly spread,
are not slow, and the others are. With `whole=m`, `make test-all` runs m of them, and `make faults` all.

The rule for unit tests is enforced by an audit hook: a unit test that starts a process or connects fails, even if the
code under test swallows the error.
"""

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.long import LONG

# Folders of tests that run commands, workers, gateways and notebooks. `-m unit` does not import them.
FOLDERS = {"contract", "e2e", "gateways", "kafka", "notebooks", "tollbook"}
BROKERS = {"kafka", "own_broker"}  # fixtures
# Python's audit events for processes and connections.
FORBIDDEN = {
    "subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
    "socket.connect", "socket.sendto",
}  # fmt: skip
_TESTS = Path(__file__).parent
# Modules whose tests share a run of minutes. They come first, because a process that has nothing to do takes tests from
# the end of another's list, and would make that run again.
_FIRST = ("e2e/test_kafka_oracle.py", "e2e/test_oracle.py", "e2e/test_mutants.py", "notebooks/test_usage.py")
# While a unit test runs: the threads that existed before it. What they do is not attributed to the test.
_guarded: set[int] | None = None
_tried: list[str] = []


class NoUnit(RuntimeError):
    """A unit test started a process or connected: mark it `integration`."""


def assign(items: list[pytest.Item]) -> None:
    """Give each test the marks by which `-m` selects it."""
    families: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if folder(item.path) in FOLDERS or BROKERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("integration")
        if item.get_closest_marker("sampled"):
            families[item.nodeid.partition("[")[0]].append(item)
    for cases in families.values():
        mark = cases[0].get_closest_marker("sampled")
        assert mark is not None
        kept = apart(len(cases), mark.kwargs["keep"])
        whole = apart(len(cases), mark.kwargs.get("whole", len(cases)))
        for i, item in enumerate(sorted(cases, key=lambda item: item.nodeid)):
            if i not in kept:
                item.add_marker("slow")
            if i not in whole | kept and not LONG:
                item.add_marker(pytest.mark.skip(reason="part of `make faults`"))
    for item in items:
        if not any(item.get_closest_marker(name) for name in ("integration", "slow")):
            item.add_marker("unit")


def costly_first(items: list[pytest.Item]) -> None:
    """Put the tests of modules that share a long run at the beginning, in their order."""
    places = {_TESTS / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def folder(path: Path) -> str:
    """The folder below tests/ that holds a path; empty for what lies directly in tests/ or outside of it."""
    below = path.relative_to(_TESTS).parts if path.is_relative_to(_TESTS) else ()
    return below[0] if len(below) > 1 or path.is_dir() else ""


def apart(count: int, keep: int) -> set[int]:
    """`keep` of `count` positions, evenly spread: the first and the last among them."""
    keep = min(keep, count)
    return {round(i * (count - 1) / max(keep - 1, 1)) for i in range(keep)}


@contextmanager
def guarded(item: pytest.Item) -> Iterator[None]:
    """Forbid processes and connections while a unit test runs."""
    global _guarded  # noqa: PLW0603  # the audit hook gets no other state
    if item.get_closest_marker("unit"):
        _guarded = {thread.ident or 0 for thread in threading.enumerate() if thread is not threading.current_thread()}
    try:
        yield
    finally:
        _guarded = None


def tried() -> str:
    """The forbidden events since the last call; empty if there were none."""
    attempts = ", ".join(_tried)
    _tried.clear()
    return attempts


def _audit(event: str, args: tuple[object, ...]) -> None:
    if event in FORBIDDEN and _guarded is not None and threading.get_ident() not in _guarded:
        _tried.append(f"{event}{args!r:.100}")
        raise NoUnit(f"{event}: a unit test starts no process and connects to nothing; mark it `integration`")


sys.addaudithook(_audit)
