"""`gateway.access` in memory, with ingest and land over it: what workers do on Kafka, without the processes and the
broker.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from aggregate.landing.known_topics import KnownTopic, recognise
from aggregate.landing.land import Land, Landed
from billing.catalog import loading as catalogs
from ingest.kafka import records
from ingest.kafka.record_groups import Records
from ingest.kafka.records import OutgoingMessage
from lake.lake import Lake
from schemas.kafka import wire
from schemas.log import AccessPartition, Fetched, LogReader, Partition
from schemas.tables import DEAD, FRESH_EVENTS
from tests.aggregate.fixtures import now
from tollbook.workers import ingest as ingest_worker

EVENTS_PARTITIONS = 3
TOPIC_ID = "abc_1"
Headers = Sequence[tuple[str, bytes]]
HEADERS: Headers = [("format", b"kong"), ("source", b"edge")]


def place(number: int = 0) -> AccessPartition:
    return AccessPartition("gateway.access", number, TOPIC_ID)


class Access:
    """Records by partition; `gone`: below this offset retention has deleted them."""

    def __init__(self, folder: Path, *, received_ms: int) -> None:
        self.lake = folder / "lake"
        self.catalog = folder / "catalog"
        self.gone = 0
        self.fetched = 0  # records that were asked for once more
        self._received_us = received_ms * 1000
        self._records: dict[int, list[tuple[bytes, Headers, bytes | None]]] = {}
        self._read: dict[int, int] = {}
        self._messages: dict[Partition, list[OutgoingMessage]] = {}
        Lake(self.lake).create()
        recognise(Lake(self.lake), KnownTopic("usage.events", "e", EVENTS_PARTITIONS))
        recognise(Lake(self.lake), KnownTopic("usage.dead", "d", 1))

    def send(
        self, *lines: bytes, headers: Headers = (), partition: int = 0, key: bytes | None = None, named: bool = True
    ) -> None:
        """A record of some lines; `headers` beside those that name format and source."""
        all_headers = [*(HEADERS if named else ()), *headers]
        self._records.setdefault(partition, []).append((b"".join(lines), all_headers, key))

    def replace(self, offset: int, *lines: bytes, partition: int = 0) -> None:
        """What no broker does, or one that has lost what it had promised to keep."""
        self._records[partition][offset] = (b"".join(lines), HEADERS, None)

    def ingest(self) -> None:
        """Read what is new, with the catalog as it is now."""
        reading = ingest_worker.readings(catalogs.load(self.catalog))
        for number, held in self._records.items():
            begun = self._read.get(number, 0)
            if begun == len(held):
                continue
            batch = records.read(self._batch(number, range(begun, len(held))), reading, lambda p: place(p).generation)
            self._read[number] = len(held)
            for message in (records.dead_letter_message(batch), *records.event_messages(batch, EVENTS_PARTITIONS)):
                topic = "usage.dead" if dict(message.headers)["schema"] == wire.DEAD_2.encode() else "usage.events"
                partition = Partition(topic, str(message.partition), f"{topic}/{message.partition}", message.partition)
                self._messages.setdefault(partition, []).append(message)

    def worker(self, *, commit_entries: int = 1000) -> Land:
        """A land worker of all partitions."""
        return Land(
            Lake(self.lake), _Messages(self._messages), catalog_sha256="c", now=now, commit_entries=commit_entries
        )

    def land(self) -> list[Landed]:
        """Read and land what is new."""
        self.ingest()
        return list(self.worker().run())

    def refetch(self, asked: AccessPartition, offsets: Sequence[int]) -> Iterator[Records] | None:
        """What `redriving.redrive` wants: a batch for each record."""
        return self._refetched(asked.number, offsets) if asked.topic_id == TOPIC_ID else None

    def _refetched(self, number: int, offsets: Sequence[int]) -> Iterator[Records]:
        there = [offset for offset in offsets if offset >= self.gone]
        self.fetched += len(there)
        if there:
            yield self._batch(number, there)

    def _batch(self, number: int, offsets: Sequence[int]) -> Records:
        values, headers, keys = zip(*(self._records[number][offset] for offset in offsets), strict=True)
        count = len(offsets)
        return Records(
            values, headers, np.full(count, number), np.array(offsets), np.full(count, self._received_us), keys
        )


class _Messages:
    """Messages of `usage.events` and `usage.dead` as the log."""

    def __init__(self, messages: Mapping[Partition, Sequence[OutgoingMessage]]) -> None:
        self._messages = messages
        self._next: dict[Partition, int] = {}

    def start(self, reader: LogReader) -> None:
        self._next = {p: offset or 0 for p, offset in reader.assigned(list(self._messages)).items()}

    def poll(self) -> Fetched | None:
        for partition, held in self._messages.items():
            at = self._next.get(partition, len(held))
            if at < len(held):
                self._next[partition] = at + 1
                read = wire.decoded(held[at].value, held[at].headers)  # type: ignore[arg-type]
                rows = (read.rows, DEAD.schema.empty_table())
                events, refused = rows if read.schema in wire.OF_EVENTS else (FRESH_EVENTS.empty_table(), read.rows)
                return Fetched(partition, at, at + 1, events, refused, read.origins, read.ingested)
        return None
