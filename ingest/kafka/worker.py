"""`tollbook ingest`: from `gateway.access` to `usage.events` and `usage.dead`. Reads, calls `records`, sends.

The rule that must hold: each partition of `usage.events` gets the ranges of a partition of `gateway.access` in order
and without gaps. So a failed delivery ends the process, and an offset is committed only after everything below it is
delivered to every partition. After a restart at an earlier offset the same entries are sent again; land deduplicates
them by their positions.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from ingest.decode.pausing import FormChecks, by_reason, matching_format
from ingest.kafka import records
from ingest.kafka.record_groups import UNREADABLE_HEADERS, Headers, Records
from ingest.kafka.records import DecodedBatch, OutgoingMessage, SourceDecoder, SourceResult
from ingest.kafka.sending import produce
from schemas.halts import Halt, Halted
from schemas.kafka.topics import MESSAGE_BYTES_MAX
from schemas.log import AccessPartition

# A statement takes 20 ms to plan, whatever it reads. The buffers of one batch should fit into the freed memory of the
# previous one
# (tollbook/memory.py).
BATCH_BYTES = 28 << 20
BATCH_RECORDS = 100_000
AHEAD_BATCHES = 2
MESSAGE_BYTES = 4 << 20  # half of the topics' limit, which leaves room for headers
_ONE_RECORD_BYTES = MESSAGE_BYTES_MAX - (64 << 10)  # minus a generous allowance for the broker's framing
_FIRST_BATCH = 200
COMMIT_AGAIN_S = (
    5.0  # a commit during a rebalance is lost: an idle worker repeats it, or its lag would never reach zero
)


@dataclass(frozen=True, kw_only=True)
class Route:
    """Source and target topics."""

    access: str
    events: str
    dead: str
    events_partitions: int
    topic_id: str  # of `access`; another id under the same name is another log


@dataclass
class _InFlight:
    """A batch that was sent: the number of undelivered messages, and the offsets to commit afterwards."""

    offsets: Mapping[int, int]
    missing: int
    failed: list[str] = field(default_factory=list)


class BatchStats(NamedTuple):
    """The size of one batch."""

    records: int
    entries: int
    reasons: pa.ChunkedArray  # of the refusals


class Worker:
    """Owns a consumer and a producer. Discard it after any exception: uncommitted records are read again."""

    def __init__(
        self,
        consumer: Consumer,
        producer: Producer,
        route: Route,
        decoder_of: Callable[[str, str], SourceDecoder],
        *,
        defaults: tuple[str, str] = ("", ""),
        max_refused_percent: Callable[[str], int] = lambda _: 100,
        on_pause: Callable[[Halted], None] = lambda _: None,
    ) -> None:
        """`decoder_of(format, source)` returns the decoder; `defaults` apply to records without such headers.

        `max_refused_percent(source)` as in the catalog. `on_pause` is called for each partition that is paused.
        """
        self._consumer = consumer
        self._producer = producer
        self._route = route
        self._decoder_of = decoder_of
        self._defaults = defaults
        self._form_checks = FormChecks(max_refused_percent)
        self._on_pause = on_pause
        self.paused: dict[int, Halted] = {}  # paused partitions
        self._batch_records = _FIRST_BATCH
        self._in_flight: deque[_InFlight] = deque()
        self._committed: dict[int, int] = {}
        self._committed_s = 0.0
        consumer.subscribe([route.access], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def step(self, timeout_s: float) -> BatchStats | None:
        """Read, decode and send one batch; None if there was nothing. Raises Halted, KafkaException."""
        messages = self._consumer.consume(self._batch_records, timeout_s)
        self._producer.poll(0)
        self._settle()
        if not messages:
            if self._committed and time.monotonic() - self._committed_s >= COMMIT_AGAIN_S:
                self._commit(self._committed)
            return None
        batch = records_of(messages)
        self._batch_records = _next_size(batch)
        if self.paused:  # some records may have been prefetched
            batch = batch.where(~np.isin(batch.partitions, list(self.paused)))
        read = self._judge_and_send(batch) if batch.values else []
        while len(self._in_flight) > AHEAD_BATCHES:
            self._producer.poll(0.1)
            self._settle()
        return BatchStats(
            sum(pc.sum(r.ingested["records"], min_count=0).as_py() for r in read),
            sum(r.events.num_rows + r.refused.num_rows for r in read),
            pa.chunked_array([chunk for r in read for chunk in r.refused["reason"].chunks], pa.string()),
        )

    def _judge_and_send(self, batch: Records) -> list[DecodedBatch]:
        """Decode and send; of each partition only the records before the first one of a paused source."""
        read = self._read(batch)
        bad = [of for of in read.by_source if self._form_checks.judge(of.format, of.source, of.entries, of.refused)]
        if not bad:
            return self._send_all(batch, read)
        kept = np.ones(len(batch.values), bool)
        for of in bad:
            for partition in np.unique(batch.partitions[of.rows]).tolist():
                mine = batch.partitions == partition
                first = int(batch.offsets[of.rows][batch.partitions[of.rows] == partition].min())
                kept[mine & (batch.offsets >= first)] = False
                self._pause(partition, first, of)
        before = batch.where(kept)
        return self._send_all(before, self._read(before)) if before.values else []

    def _pause(self, partition: int, offset: int, of: SourceResult) -> None:
        """Pause a partition. The committed offset lies before the pause: the next owner begins there."""
        if partition in self.paused:
            return
        self._consumer.pause([TopicPartition(self._route.access, partition)])
        self.paused[partition] = paused = _paused(f"{self._route.access}/{partition}", offset, of)
        self._on_pause(paused)

    def _read(self, batch: Records) -> DecodedBatch:
        return records.read(batch, self._decoder_of, self.generation_of, defaults=self._defaults)

    def _send_all(self, batch: Records, read: DecodedBatch) -> list[DecodedBatch]:
        """Send a batch, in halves if refusals with their raw lines do not fit into one message.

        A single record that does not fit is refused as a whole: its range must be in one message of each partition.
        """
        letter, messages = (
            records.dead_letter_message(read),
            list(records.event_messages(read, self._route.events_partitions)),
        )
        half, size = len(batch.values) // 2, max(m.size for m in (letter, *messages))
        if not half and size > _ONE_RECORD_BYTES:
            read = records.refuse_records(batch, size, self.generation_of, defaults=self._defaults)
            letter, messages = (
                records.dead_letter_message(read),
                list(records.event_messages(read, self._route.events_partitions)),
            )
        if half and size > MESSAGE_BYTES:
            parts = [batch.part(slice(half)), batch.part(slice(half, None))]
            return [sent for part in parts for sent in self._send_all(part, self._read(part))]
        offsets = {int(p): int(batch.offsets[batch.partitions == p].max()) + 1 for p in np.unique(batch.partitions)}
        sent = _InFlight(offsets, 0)
        self._in_flight.append(sent)
        self._send(self._route.dead, letter, sent)
        for message in messages:
            self._send(self._route.events, message, sent)
        return [read]

    def generation_of(self, partition: int) -> str:
        """The permanent name of a partition of `gateway.access` in rows. A recreated topic has another name."""
        return AccessPartition(self._route.access, partition, self._route.topic_id).generation

    def drain(self, timeout_s: float) -> None:
        """Wait until everything sent is delivered, and commit it. Raises Halted on timeout."""
        if self._producer.flush(timeout_s):
            raise Halted(
                Halt.UNDELIVERED,
                f"the broker did not accept all messages within {timeout_s:g} s; nothing was committed",
            )
        self._settle()

    def close(self) -> None:
        """Leave the consumer group."""
        self._consumer.close()

    def _send(self, topic: str, message: OutgoingMessage, sent: _InFlight) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            sent.missing -= 1
            if error is not None:
                sent.failed.append(error.str())

        sent.missing += 1
        produce(
            self._producer,
            topic,
            message.value,
            partition=message.partition,
            headers=message.headers,
            on_delivery=delivered,
        )

    def _settle(self) -> None:
        """Commit delivered batches in order. A failed delivery would leave a gap: the process must end."""
        offsets: dict[int, int] = {}
        while self._in_flight and self._in_flight[0].missing == 0:
            batch = self._in_flight.popleft()
            if batch.failed:
                raise Halted(
                    Halt.UNDELIVERED, f"{batch.failed[0]}; the worker begins again at the last committed offset"
                )
            offsets |= batch.offsets
        if offsets:
            self._committed |= offsets
            self._commit(offsets)

    def _commit(self, offsets: Mapping[int, int]) -> None:
        self._committed_s = time.monotonic()
        at = [
            TopicPartition(self._route.access, partition, offset, metadata=self._route.topic_id)
            for partition, offset in offsets.items()
        ]
        self._consumer.commit(offsets=at, asynchronous=True)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Start at the group's committed offset; at the beginning if it has none, or one of another topic."""
        begin = []
        for known in consumer.committed(list(partitions), timeout=30):
            low, high = consumer.get_watermark_offsets(known, timeout=30)
            mine = known.offset >= 0 and known.metadata == self._route.topic_id
            offset = known.offset if mine else low
            if not low <= offset <= high:
                raise Halted(
                    Halt.RETENTION_GAP,
                    f"{known.topic}/{known.partition} holds {low} to {high}, but was read to {offset}: lines in between are gone. "
                    f"Send them again from the gateway's files, then set the group's offset to {low}",
                )
            begin.append(TopicPartition(known.topic, known.partition, offset))
        consumer.incremental_assign(begin)

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Deliver and commit what was read, so that the next owner need not repeat it."""
        self.drain(timeout_s=30)
        self._forget(partitions)
        consumer.incremental_unassign(list(partitions))

    def _lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Another worker already owns the partitions. What was sent is deduplicated by position."""
        self._forget(partitions)
        consumer.incremental_unassign(list(partitions))

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for where in partitions:
            self._committed.pop(where.partition, None)
            self.paused.pop(where.partition, None)


def _paused(partition: str, offset: int, of: SourceResult) -> Halted:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in by_reason(of.refused).items())
    other = matching_format(of.refused, of.format)
    return Halted(
        Halt.FORM,
        f"{partition} is not read on from offset {offset}: of {of.entries:,} entries of source {of.source} read as {of.format} were refused for their "
        f"form: {reasons}. {f'They look like {other}. ' if other else ''}To take them as they are, start again with --accept-form-errors {of.source}, "
        f"and redrive them in the right format",
    )


def records_of(messages: Sequence[Message]) -> Records:
    """The columns of messages of `gateway.access`. `map` over methods is faster, with one line per message."""
    for message, error in zip(messages, map(Message.error, messages), strict=True):
        if error is not None:
            if error.code() == KafkaError._AUTO_OFFSET_RESET:  # the public name in the library
                raise Halted(Halt.RETENTION_GAP, f"{message.topic()}/{message.partition()}: {error.str()}")
            raise KafkaException(error)
    times = np.array(list(map(Message.timestamp, messages)), np.int64)  # type, milliseconds
    if (times[:, 0] != TIMESTAMP_LOG_APPEND_TIME).any():
        raise Halted(
            Halt.BAD_TOPIC, f"{messages[0].topic()} keeps the sender's times; set message.timestamp.type=LogAppendTime"
        )
    return Records(
        list(map(Message.value, messages)),
        _headers(messages),
        np.array(list(map(Message.partition, messages)), np.int64),
        np.array(list(map(Message.offset, messages)), np.int64),
        times[:, 1] * 1000,
        list(map(Message.key, messages)),
    )


def _headers(messages: Sequence[Message]) -> list[Headers]:
    """The headers of each message, requested once: after a failure the client library returns no valid list."""
    found: list[Headers] = []
    left = iter(messages)
    while len(found) < len(messages):
        try:
            found.extend(map(Message.headers, left))
        except SystemError:  # see wire.headers_of; earlier headers stay in `found`
            found.append(UNREADABLE_HEADERS)
    return found


def _next_size(batch: Records) -> int:
    """The number of records that make about BATCH_BYTES, by the average of this batch."""
    average = max(1, sum(map(len, filter(None, batch.values))) // len(batch.values))
    return max(1, min(BATCH_RECORDS, BATCH_BYTES // average))
