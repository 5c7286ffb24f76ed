"""The three logs, filled alike: two partitions of events in pieces of ten, some refusals, and readers of them.

A world can `write` more at any time, `open` any number of logs on the same entries, and end them all. Every log of one
world belongs to one group of readers, where there is such a thing.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from confluent_kafka import Consumer, Producer

from aggregate.landing.kafka_log import KafkaLog
from ingest.decode.pipeline import Decoder, SourceRules
from ingest.files.file_log import FileLog
from schemas.kafka import wire
from schemas.log import Fetched, Log, LogReader, Partition
from tests.aggregate.fixtures import event, partition, refusal
from tests.aggregate.memory_log import MemoryLog
from tests.conftest import topic_maker
from tests.ingest.fixtures import OWNERS, kong, line
from tests.kafka.messages import dead_message, events_message
from tollbook.kafka.options import KafkaConfig

PIECE = 10  # entries that are written, and read, together


class World(Protocol):
    """One kind of log."""

    def write(self, pieces: int) -> int:
        """Append so many pieces to each partition, refusals among them; how many entries that was."""
        ...

    def open(self, reader: LogReader) -> Log:
        """A log that is started, and so has asked `reader`, or will."""
        ...

    def close(self) -> None:
        """End all logs that are open."""
        ...


@dataclasses.dataclass
class Offsets:
    """A reader that remembers, as the lake does: next offsets, and what it was told."""

    offsets: dict[Partition, int] = dataclasses.field(default_factory=dict)
    owned: set[Partition] = dataclasses.field(default_factory=set)
    asked: list[Partition] = dataclasses.field(default_factory=list)

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        self.asked += partitions
        self.owned |= set(partitions)
        return {partition: self.offsets.get(partition) for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.owned -= set(partitions)

    def landed(self, batches: Sequence[Fetched]) -> None:
        """Take note that these are in the lake."""
        for fetched in batches:
            self.offsets[fetched.partition] = fetched.to_offset


class Memory:
    """Tables that grow."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {"a": [], "b": []}
        self._entries: dict[Partition, tuple[pa.Table, pa.Table]] = {}

    def write(self, pieces: int) -> int:
        for name, rows in self._rows.items():
            for _ in range(pieces):
                rows += [*(event(f"{name}{len(rows) + n}") for n in range(PIECE - 1)), refusal()]
            self._entries |= partition(rows, name)
        return 2 * pieces * PIECE

    def open(self, reader: LogReader) -> Log:
        log = MemoryLog(self._entries, batch=PIECE)
        log.start(reader)
        return log

    def close(self) -> None:
        """Nothing is open."""


class Files:
    """Two log files of Kong; blocks are as long as a piece."""

    def __init__(self, folder: Path) -> None:
        self._paths = {name: folder / f"{name}.log" for name in "ab"}
        self._count = itertools.count()
        self._open: list[FileLog] = []
        for path in self._paths.values():
            path.touch()

    def write(self, pieces: int) -> int:
        for name, path in self._paths.items():
            lines = [line(kong(f"{name}{next(self._count):06}")) for _ in range(pieces * PIECE)]
            for last in range(PIECE - 1, len(lines), PIECE):
                lines[last] = b"x" * (len(lines[0]) - 1) + b"\n"
            with path.open("ab") as log:
                log.writelines(lines)
        return 2 * pieces * PIECE

    def open(self, reader: LogReader) -> Log:
        rules = SourceRules("edge")
        piece = PIECE * len(line(kong("a000000")))
        log = FileLog(list(self._paths.values()), "edge", [], lambda: Decoder("kong", rules, OWNERS), block_bytes=piece)
        self._open.append(log)
        log.start(reader)
        return log

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


class Kafka:
    """Two partitions of events and one of refusals; a message is a piece."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._config = KafkaConfig(bootstrap_servers=bootstrap, prefix=prefix)
        make = topic_maker(bootstrap, prefix)
        self._events, self._dead = make("events", partitions=2), make("dead")
        self._producer = Producer(self._config.producer_options())
        self._written = 0  # in each partition
        self._open: list[KafkaLog] = []

    def write(self, pieces: int) -> int:
        for _ in range(pieces):
            at = range(self._written, self._written + PIECE)
            for number in range(2):
                ids = (f"{number}-{n}" for n in at)
                self._send(self._events, number, events_message(f"access/{number}@t", at, ids))
            self._send(self._dead, 0, dead_message("access/2@t", at))
            self._written += PIECE
        assert self._producer.flush(30) == 0
        return 3 * pieces * PIECE

    def open(self, reader: LogReader) -> Log:
        options = self._config.consumer_options("land", protocol="classic", session_timeout_ms=6000)
        # Members hear at a heartbeat that another has come; every 3 s would be a long test.
        log = KafkaLog(Consumer({**options, "heartbeat.interval.ms": 200}), [self._events, self._dead], poll_s=0.02)
        self._open.append(log)
        log.start(reader)
        return log

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def _send(self, topic: str, number: int, message: tuple[bytes, wire.Headers]) -> None:
        self._producer.produce(topic, message[0], partition=number, headers=list(message[1]))
