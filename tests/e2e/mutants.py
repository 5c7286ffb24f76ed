"""A worker with something wrong on purpose: `python -m tests.e2e.mutants land …` is `tollbook land …` with what two
variables name.

TOLLBOOK_TEST_FAULT is what may happen to a sound worker: `sleep@2`, it is stopped just before its second commit to
events; TOLLBOOK_TEST_MUTANT names mistakes that the product must not make, with commas between. This entry point alone
knows them.
"""

import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import TopicPartition

from aggregate.landing import redelivery
from aggregate.landing.dedup import COUNTED, DUPLICATE, DedupIndex
from aggregate.landing.kafka_log import KafkaLog
from aggregate.landing.land import Land
from ingest.kafka import worker as ingest_worker
from lake.lake import Lake, Table
from schemas.tables import EVENTS
from tollbook.kafka.options import KafkaConfig
from tollbook.workers.land import LandWorker

FAULT, MUTANT, MARKS = "TOLLBOOK_TEST_FAULT", "TOLLBOOK_TEST_MUTANT", "TOLLBOOK_TEST_MARKS"


def _on_commit(change: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    """Let `change(table, keywords)` have its way with every commit to `events`."""
    commit = Table.commit

    def changed(table: Any, parts: Any, **keywords: Any) -> Any:
        if table.shape == EVENTS:
            table, keywords = change(table, keywords)
        return commit(table, parts, **keywords)

    Table.commit = changed  # type: ignore[method-assign]


def _before_commit(number: int, happens: Callable[[], None]) -> None:
    """Let something happen before the nth commit to `events`."""
    count = 0

    def counted(table: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal count
        count += 1
        if count == number:
            happens()
        return table, keywords

    _on_commit(counted)


def _sleep() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    threading.Event().wait()


def _fail() -> None:
    raise OSError(5, "Input/output error", "a disk of the tests")


def _hear_at_once() -> None:
    """Ask for news of the topics all the time, not every five minutes."""
    options = KafkaConfig.consumer_options

    def eager(self: KafkaConfig, *args: Any, **kwargs: Any) -> Any:
        return {**options(self, *args, **kwargs), "topic.metadata.refresh.interval.ms": 300}

    KafkaConfig.consumer_options = eager  # type: ignore[method-assign]


def _read_little() -> None:
    """Ingest takes five records at a time, so that a little traffic makes many messages."""
    ingest_worker.BATCH_RECORDS = ingest_worker._FIRST_BATCH = 5


AT_COMMIT: Mapping[str, Callable[[], None]] = {
    "sleep": _sleep, "die": _die, "hang": _hang, "fail": _fail
}  # fmt: skip
FROM_THE_START: Mapping[str, Callable[[], None]] = {"eager": _hear_at_once, "little": _read_little}


def _kafkas_offsets() -> None:
    """M1: the group's offsets are the truth, and are committed before the lake."""
    commit, begin = Land._commit, KafkaLog._begin

    def committed_first(self: Land, batch: Any) -> Any:
        log: Any = self._log
        at = [TopicPartition(f.partition.source, f.partition.number, f.to_offset) for f in batch]
        log._consumer.commit(offsets=at, asynchronous=False)
        return commit(self, batch)

    def by_the_group(self: KafkaLog, reader: Any, partitions: Sequence[Any]) -> None:
        class Misled:
            def assigned(_, asked: Sequence[Any]) -> dict[Any, int | None]:  # noqa: N805  # self is the log
                offsets = reader.assigned(asked)
                where = [TopicPartition(p.source, p.number) for p in asked]
                for partition, known in zip(asked, self._consumer.committed(where, timeout=30), strict=True):
                    if offsets[partition] is not None and known.offset >= 0:
                        offsets[partition] = reader._next[partition] = known.offset
                return offsets  # type: ignore[no-any-return]

        begin(self, Misled(), partitions)  # type: ignore[arg-type]

    Land._commit = committed_first  # type: ignore[method-assign]
    KafkaLog._begin = by_the_group  # type: ignore[method-assign]


def _no_dedup() -> None:
    """M2: every event is new."""
    DedupIndex.classify = lambda _, new: np.zeros(len(new.day), np.int8)  # type: ignore[method-assign]


def _marks_beside_the_lake() -> None:
    """M3: what was seen is marked before the write, in a file of its own, and believed after a crash."""
    path, classify = Path(os.environ[MARKS]), DedupIndex.classify
    marked = pickle.loads(path.read_bytes()) if path.exists() else set()
    seen = set(marked)

    def believing(self: DedupIndex, new: Any) -> Any:
        verdicts = classify(self, new)
        known = np.isin(new.identity, list(marked))
        seen.update(new.identity[verdicts == COUNTED].tolist())
        path.write_bytes(pickle.dumps(seen))
        return np.where(known & (verdicts == COUNTED), DUPLICATE, verdicts).astype(np.int8)

    DedupIndex.classify = believing  # type: ignore[method-assign]


def _off_by(step: int) -> Callable[[], None]:
    """M4: the next offset is one too far, or one too near."""

    def shifted(table: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        versions = {app: offset + step for app, offset in keywords["versions"].items()}
        return table, {**keywords, "versions": versions, "info": {**keywords["info"], "offsets": versions}}

    def apply() -> None:
        _on_commit(shifted)
        Land._check_committed = lambda _: None  # type: ignore[method-assign]

    return apply


def _fresh_handle() -> None:
    """M8: the table is opened anew just before the commit, and nobody looks whose partition it is by now."""
    _on_commit(lambda table, keywords: (Lake(table.store).open(table.shape), keywords))
    Land._check_committed = lambda _: None  # type: ignore[method-assign]


def _going_on() -> None:
    """M9: an exception in the loop is logged, and the batch it was about is dropped."""
    step = LandWorker.step

    def careless(self: LandWorker) -> Any:
        try:
            return step(self)
        except Exception:
            logging.getLogger("tollbook").exception("never mind")
            self._land._batch = []
            return None

    LandWorker.step = careless  # type: ignore[method-assign]


def _forgetful_alerts() -> None:
    """M11: what has fired is known in memory alone."""
    from aggregate.alerts import ledger

    read = ledger.read
    ledger.read = lambda lake, version=None: read(lake, version)._replace(statements={})


def _without_coverage() -> None:
    """No mutant of its own: takes away the second guard, so that the first is seen to be missing."""
    redelivery.fresh = lambda batch, _: list(batch)


MUTANTS: Mapping[str, Callable[[], None]] = {
    "M1": _kafkas_offsets, "M2": _no_dedup, "M3": _marks_beside_the_lake, "M4+": _off_by(1), "M4-": _off_by(-1),
    "M8": _fresh_handle, "M9": _going_on, "M11": _forgetful_alerts, "bare": _without_coverage,
}  # fmt: skip


def main() -> None:
    for mutant in filter(None, os.environ.get(MUTANT, "").split(",")):
        MUTANTS[mutant]()
    name, _, number = os.environ.get(FAULT, "").partition("@")
    if number:
        _before_commit(int(number), AT_COMMIT[name])
    elif name:
        FROM_THE_START[name]()
    from tollbook.__main__ import main as tollbook

    tollbook(sys.argv[1:])


if __name__ == "__main__":
    main()
