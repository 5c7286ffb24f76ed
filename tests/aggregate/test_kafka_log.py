"""Partitions that are revoked while messages are fetched: what is kept is not lost. A rebalance comes at any moment."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from aggregate.landing.kafka_log import KafkaLog
from schemas.kafka import wire
from schemas.log import Partition
from schemas.tables import FRESH_EVENTS

TOPIC = "usage.events"


class Fetched:
    """A message as the client hands it out."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition, self._offset = partition, offset

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def error(self) -> None:
        return None

    def value(self) -> bytes:
        return wire.encoded(FRESH_EVENTS.empty_table())

    def headers(self) -> list[tuple[str, bytes]]:
        return [
            (name, value.encode() if isinstance(value, str) else value)
            for name, value in wire.headers(wire.EVENTS_3, [])
        ]  # type: ignore[union-attr]


class Client:
    """A client whose rebalance comes in the middle of a fetch. A real one does that once in hundreds of runs."""

    def __init__(self) -> None:
        self._callbacks: dict[str, Any] = {}
        self._fetches = [[Fetched(0, 0), Fetched(1, 0)], [Fetched(0, 1), Fetched(1, 1)], [Fetched(0, 2)]]

    def subscribe(self, _: Sequence[str], **callbacks: Any) -> None:
        self._callbacks = callbacks

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, 9

    def incremental_assign(self, _: Any) -> None: ...

    def incremental_unassign(self, _: Any) -> None: ...

    def assign(self, *partitions: int) -> None:
        self._callbacks["on_assign"](self, [Place(p) for p in partitions])

    def consume(self, count: int, _: float) -> list[Fetched]:
        if count == 1 or not self._fetches:
            return []
        found = self._fetches.pop(0)
        if len(self._fetches) == 1:
            self._callbacks["on_revoke"](self, [Place(1)])
        return found


class Place:
    """A partition as the client names it."""

    def __init__(self, partition: int) -> None:
        self.topic, self.partition, self.offset = TOPIC, partition, 0


class Reader:
    """Begins at the beginning."""

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        return dict.fromkeys(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None: ...


def test_what_is_fetched_while_another_partition_is_revoked_is_not_lost() -> None:
    """It was: the next message was a gap, which ends the worker until somebody looks."""
    client = Client()
    log = KafkaLog(client, [TOPIC], poll_s=0)  # type: ignore[arg-type]  # of a consumer it uses no more
    log.start(Reader())
    client.assign(0, 1)
    read = []
    while (fetched := log.poll()) is not None:
        assert isinstance(fetched.events, pa.Table)
        read.append((fetched.partition.number, fetched.from_offset))
    assert read == [(0, 0), (1, 0), (0, 1), (0, 2)]
