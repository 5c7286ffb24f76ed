"""Records of `gateway.access` fetched again by their offsets, as long as the topic retains them."""

from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingest.kafka.record_groups import Records
from ingest.kafka.worker import BATCH_BYTES, BATCH_RECORDS, records_of
from schemas.halts import Halt, Halted

SKIP_RECORDS = 1000  # reading over this many is cheaper than a new seek
ANSWER_S = 30.0


def refetched(consumer: Consumer, topic: str, partition: int, offsets: Sequence[int]) -> Iterator[Records]:
    """The records at ascending offsets, in batches. Records that are gone are left out.

    `consumer` has `enable.partition.eof`. Raises Halted, KafkaException.
    """
    where = TopicPartition(topic, partition)
    batch: list[Message] = []
    size = 0
    for run in _runs(offsets):
        wanted = set(run)
        for message in _between(consumer, where, run[0], run[-1]):
            if message.offset() in wanted:
                batch.append(message)
                size += len(message)
            if size >= BATCH_BYTES or len(batch) >= BATCH_RECORDS:
                yield records_of(batch)
                batch, size = [], 0
    if batch:
        yield records_of(batch)


def _runs(offsets: Sequence[int]) -> Iterator[list[int]]:
    """Offsets grouped by closeness."""
    run: list[int] = []
    for offset in offsets:
        if run and offset - run[-1] > SKIP_RECORDS:
            yield run
            run = []
        run.append(offset)
    if run:
        yield run


def _between(consumer: Consumer, where: TopicPartition, first: int, last: int) -> Iterator[Message]:
    """All records from one offset to another, inclusive, that the topic still retains."""
    while True:
        low, high = consumer.get_watermark_offsets(where, timeout=ANSWER_S)
        first = max(first, low)
        if first > min(last, high - 1):
            return
        consumer.assign([TopicPartition(where.topic, where.partition, first)])
        while first <= last:
            message = consumer.poll(ANSWER_S)
            if message is None:
                raise Halted(Halt.KAFKA, f"{where.topic}/{where.partition}: no answer within {ANSWER_S:g} s")
            if (error := message.error()) is None:
                offset = message.offset()
                assert offset is not None, "a message of a partition has an offset"
                if offset <= last:
                    yield message
                first = offset + 1
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                break  # deleted since the seek
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise KafkaException(error)
        else:
            return
