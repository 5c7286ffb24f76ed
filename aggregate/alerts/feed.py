"""Sends table `alerts` to the topic `usage.alerts`: each statement once, in the order of the commits.

The header `tollbook-position` of a message is VERSION:ROW: its commit, and its place in it. A feed continues behind the
positions in the topic. The messages of a commit are acknowledged before those of the next one are sent, so all
partitions hold whatever is older than the newest position of any of them. Only one feed may run at a time.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from aggregate.alerts import ledger
from aggregate.alerts.messages import cloud_event
from lake.lake import Lake
from schemas.alerts import Statement
from schemas.halts import Halt, Halted
from schemas.kafka.partitions import partition_of_key

POSITION = "tollbook-position"
_TIMEOUT_S = 30
_WAIT_S = 0.1


class Position(NamedTuple):
    """A statement in the table: its commit, and its place among the statements of the commit."""

    version: int
    row: int


NOWHERE = Position(0, -1)


class Sent(NamedTuple):
    """What a topic holds. `ids`: the messages of an earlier version, which have no positions."""

    positions: Mapping[int, Position]  # the newest of each partition
    ids: frozenset[str]
    is_emptied: bool  # it had messages once, and none is left


class Feed:
    """Sends what is new at each `step`. Drop it after any exception: the next one continues from the topic."""

    def __init__(self, lake: Lake, producer: Producer, topic: str, sent: Sent, *, partitions: int) -> None:
        self._lake = lake
        self._producer = producer
        self._topic = topic
        self._sent = sent
        self._partitions = partitions
        self._undelivered: list[str] = []
        newest = max(sent.positions.values(), default=NOWHERE)
        # Of a topic whose messages were all deleted by its retention, nothing says more than that they had been sent.
        begin = None if sent.is_emptied else max(newest.version - 1, 0)
        self._book = ledger.read(lake, begin)

    @property
    def version(self) -> int:
        """The commit up to which everything is sent."""
        return self._book.table.version

    def step(self) -> list[Statement]:
        """Send the statements of the next commit, if there is one, and return them when all are acknowledged."""
        following = ledger.next_of(self._lake, self._book)
        if following is None:
            return []
        self._book, new = following
        sent = [s for row, s in enumerate(new) if self._send(Position(self._book.table.version, row), s)]
        if sent and self._producer.flush(_TIMEOUT_S):
            raise Halted(
                Halt.UNDELIVERED,
                "the broker acknowledged no alerts; restart the worker: it continues behind the last one",
            )
        if self._undelivered:
            raise Halted(
                Halt.UNDELIVERED, f"{self._undelivered[0]}; restart the worker: it continues behind the last alert"
            )
        return sent

    def _send(self, position: Position, statement: Statement) -> bool:
        key = statement.alert.partner_id or statement.alert.subject
        partition = partition_of_key(key, self._partitions)
        if position <= self._sent.positions.get(partition, NOWHERE) or statement.statement_id in self._sent.ids:
            return False
        headers: list[tuple[str, str | bytes | None]] = [(POSITION, f"{position.version}:{position.row}".encode())]
        while True:
            try:
                self._producer.produce(
                    self._topic, cloud_event(statement), key, partition, on_delivery=self._delivered, headers=headers
                )
            except BufferError:  # the queue is full
                self._producer.poll(_WAIT_S)
            else:
                return True

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._undelivered.append(error.str())


def sent(consumer: Consumer, topic: str, partitions: int) -> Sent:
    """What the topic holds: the position of the last message of each partition.

    If the last one of a partition has none, an earlier version sent it, and all messages of the partition are read.
    """
    positions: dict[int, Position] = {}
    ids: set[str] = set()
    had = has = False
    for number in range(partitions):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_S)
        had, has = had or high > 0, has or high > low
        if high == low:
            continue
        (last,) = _messages(consumer, topic, number, high - 1, high)
        if (position := _position(last)) is not None:
            positions[number] = position
        else:
            ids |= {str(json.loads(m.value() or b"")["id"]) for m in _messages(consumer, topic, number, low, high)}
    return Sent(positions, frozenset(ids), is_emptied=had and not has)


def _messages(consumer: Consumer, topic: str, partition: int, begin: int, end: int) -> list[Message]:
    consumer.assign([TopicPartition(topic, partition, begin)])
    found: list[Message] = []
    while not found or (found[-1].offset() or 0) < end - 1:
        message = consumer.poll(_TIMEOUT_S)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if (error := message.error()) is not None:
            raise KafkaException(error)
        found.append(message)
    return found


def _position(message: Message) -> Position | None:
    headers = message.headers()
    value = dict(headers).get(POSITION) if headers else None
    if isinstance(value, bytes):
        version, _, row = value.decode().partition(":")
        return Position(int(version), int(row))
    return None
