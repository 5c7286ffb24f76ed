"""A worker with something wrong on purpose: `python -m tests.e2e.mutants land …` is `tollbook land …` with what two variables name.

TOLLBOOK_TEST_FAULT is what may happen to a sound worker: `sleep@2`, it is stopped just before its second commit to events;
TOLLBOOK_TEST_MUTANT is a mistake that the product must not make. Both are known to this entry point alone.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from schemas import lake
from schemas.lake import Fenced
from schemas.tables import EVENTS
from tollbook.kafka_options import KafkaConfig

FAULT, MUTANT = "TOLLBOOK_TEST_FAULT", "TOLLBOOK_TEST_MUTANT"


def _before_commit(number: int, happens: Callable[[], None]) -> None:
    """Let something happen before the nth commit to `events`."""
    commit, count = lake.commit, 0

    def faulty(table: Any, shape: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += shape == EVENTS
        if shape == EVENTS and count == number:
            happens()
        return commit(table, shape, *args, **kwargs)

    lake.commit = faulty


def _sleep() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _hang() -> None:
    threading.Event().wait()


def _fail() -> None:
    raise OSError(5, "Input/output error", "a disk of the tests")


def _be_fenced() -> None:
    raise Fenced("by the test")


FAULTS: Mapping[str, Callable[[], None]] = {"sleep": _sleep, "hang": _hang, "fail": _fail, "fenced": _be_fenced}


def _hear_at_once() -> None:
    """Ask for news of the topics all the time, not every five minutes."""
    options = KafkaConfig.consumer_options

    def eager(self: KafkaConfig, *args: Any, **kwargs: Any) -> Any:
        return {**options(self, *args, **kwargs), "topic.metadata.refresh.interval.ms": 300}

    KafkaConfig.consumer_options = eager  # type: ignore[method-assign]


def main() -> None:
    name, _, number = os.environ.get(FAULT, "").partition("@")
    if number:
        _before_commit(int(number), FAULTS[name])
    elif name:
        {"eager": _hear_at_once}[name]()
    from tollbook.__main__ import main as tollbook

    tollbook(sys.argv[1:])


if __name__ == "__main__":
    main()
