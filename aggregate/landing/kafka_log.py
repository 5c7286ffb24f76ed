"""Kafka as the log: the partitions of `usage.events` and `usage.dead` that the group assigns to this worker.

On every assignment, the reader supplies the offsets from within the callback, before the first fetch. The group's
committed offsets only serve lag displays; nothing reads them. A partition is halted if the broker no longer has its
next offset, or if a message is not a batch of Tollbook. The other partitions continue.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.halts import Halt, Halted
from schemas.kafka import wire
from schemas.kafka.wire import BadMessage, UnreadableHeaders
from schemas.log import Fetched, LogReader, Partition
from schemas.tables import DEAD, FRESH_EVENTS

CONSUME_MESSAGES = 64
_TIMEOUT_S = 30.0


class KafkaLog:
    """A log over a consumer, which it owns. Not thread-safe.

    halted: the partitions that are no longer read, with the reason. `on_halt` is called once for each.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Sequence[str],
        *,
        poll_s: float = 0.2,
        on_halt: Callable[[Partition, Halted], None] = lambda _, __: None,
    ) -> None:
        """`poll_s` is how long `poll` waits for a message."""
        self._consumer = consumer
        self._topics = list(topics)
        self._poll_s = poll_s
        self._on_halt = on_halt
        self._ready: deque[Message] = deque()
        self.assigned: set[Partition] = set()
        self.halted: dict[Partition, Halted] = {}

    def start(self, reader: LogReader) -> None:
        """Join the group. `reader` is called as partitions are assigned and revoked."""

        def assigned(_: Consumer, partitions: Sequence[TopicPartition]) -> None:
            self._begin(reader, [_named(p.topic, p.partition) for p in partitions])

        def revoked(_: Consumer, partitions: Sequence[TopicPartition]) -> None:
            gone = [_named(p.topic, p.partition) for p in partitions]
            self.assigned.difference_update(gone)
            kept = [m for m in self._ready if _named(str(m.topic()), _number(m)) not in gone]
            self._ready.clear()
            self._ready.extend(kept)
            for partition in gone:
                self.halted.pop(partition, None)
            reader.revoked(gone)
            self._consumer.incremental_unassign(list(partitions))

        self._consumer.subscribe(self._topics, on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def poll(self) -> Fetched | None:
        """The next message as a batch, or None if there is none now."""
        while True:
            if not self._ready:
                self._fetch(1, self._poll_s)
                self._fetch(CONSUME_MESSAGES, 0)  # those that came with it
            if not self._ready:
                return None
            fetched = self._read(self._ready.popleft())
            if fetched is not None:
                return fetched

    def _fetch(self, messages: int, timeout_s: float) -> None:
        """Add messages to those that are ready. Partitions may be assigned and revoked meanwhile."""
        found = self._consumer.consume(messages, timeout_s)
        self._ready.extend(found)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets of the lake to the group, for lag displays."""
        at = [TopicPartition(p.source, p.number, offset) for p, offset in offsets.items() if p in self.assigned]
        if at:
            self._consumer.commit(offsets=at, asynchronous=True)

    def ends(self) -> dict[Partition, int]:
        """The last received high watermarks: the offset after the newest message of each partition."""
        return {
            p: self._consumer.get_watermark_offsets(TopicPartition(p.source, p.number), cached=True)[1]
            for p in self.assigned
        }

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _begin(self, reader: LogReader, partitions: Sequence[Partition]) -> None:
        self.assigned.update(partitions)
        begin = []
        for partition, offset in reader.assigned(partitions).items():
            where = TopicPartition(partition.source, partition.number)
            low, high = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_S)
            where.offset = low if offset is None else offset
            begin.append(where)
            if not low <= where.offset <= high:
                self._halt(partition, _out_of_range(partition, where.offset, low, high))
        self._consumer.incremental_assign(begin)
        stopped = [TopicPartition(p.source, p.number) for p in partitions if p in self.halted]
        if stopped:
            self._consumer.pause(stopped)

    def _read(self, message: Message) -> Fetched | None:
        if (error := message.error()) is not None and error.code() != KafkaError._AUTO_OFFSET_RESET:
            raise KafkaException(error)  # it may concern the group or the cluster instead of a partition
        partition = _named(str(message.topic()), _number(message))
        if partition in self.halted or partition not in self.assigned:
            return None
        offset = message.offset()
        assert offset is not None, "a message of a partition has an offset"
        if error is not None:  # the library's code for an offset that the broker does not have
            where = TopicPartition(partition.source, partition.number)
            low, high = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_S)
            self._stop(partition, _out_of_range(partition, offset, low, high))
            return None
        try:
            read = wire.decoded(message.value(), wire.headers_of(message))  # type: ignore[arg-type]
        except (BadMessage, UnreadableHeaders) as exc:
            self._stop(partition, Halted(Halt.BAD_MESSAGE, f"{partition.file}: offset {offset}: {exc}"))
            return None
        events, refused = FRESH_EVENTS.empty_table(), DEAD.schema.empty_table()
        if read.schema in wire.OF_EVENTS:
            events = read.rows
        else:
            refused = read.rows
        return Fetched(partition, offset, offset + 1, events, refused, read.origins, read.ingested)

    def _stop(self, partition: Partition, halted: Halted) -> None:
        """Stop fetching a partition, and halt it."""
        self._consumer.pause([TopicPartition(partition.source, partition.number)])
        self._halt(partition, halted)

    def _halt(self, partition: Partition, halted: Halted) -> None:
        self.halted[partition] = halted
        self._on_halt(partition, halted)


def _out_of_range(partition: Partition, offset: int, low: int, high: int) -> Halted:
    if offset < low:
        return Halted(
            Halt.RETENTION_GAP,
            f"{partition.file}: the lake continues at {offset}, but the broker has {low} to {high}; {low - offset} messages are gone. "
            f"Read the raw lines again into a new topic of events (docs/kafka.md, retention gap)",
        )
    return Halted(
        Halt.TOPIC_RECREATED,
        f"{partition.file}: the lake continues at {offset}, but the broker ends at {high}, so this is not the topic that was landed",
    )


def _named(topic: str, number: int) -> Partition:
    return Partition(topic, str(number), f"{topic}/{number}", number)


def _number(message: Message) -> int:
    number = message.partition()
    assert number is not None, "a message comes from a partition"
    return number
