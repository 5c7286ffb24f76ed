"""Fetches records of `gateway.access` again, for a redrive. Needs the extra `kafka`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException

from ingest.kafka.record_groups import Records
from ingest.replay.refetch import refetched
from schemas.log import AccessPartition
from tollbook.kafka.cluster import Cluster
from tollbook.kafka.errors import decided
from tollbook.kafka.options import KafkaConfig


class AccessRecords:
    """Fetches records by their offsets. It connects at the first call.

    Raises KafkaUnreachable, KafkaRefused, Halted.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._topic_ids: dict[str, str | None] = {}

    def __call__(self, place: AccessPartition, offsets: Sequence[int]) -> Iterator[Records] | None:
        """The records at the given offsets that the topic still retains. None if the topic was deleted or recreated."""
        return self._records(place, offsets) if self._topic_id(place.topic) == place.topic_id else None

    def _topic_id(self, topic: str) -> str | None:
        if topic not in self._topic_ids:
            found = Cluster(self._config).found([topic])
            self._topic_ids[topic] = found[topic].topic_id if topic in found else None
        return self._topic_ids[topic]

    def _records(self, place: AccessPartition, offsets: Sequence[int]) -> Iterator[Records]:
        with self._consumer() as consumer:
            try:
                yield from refetched(consumer, place.topic, place.number, offsets)
            except KafkaException as exc:
                raise decided(exc.args[0], f"reading {place.file}", self._config.bootstrap_servers) from exc

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        """A consumer that joins no group: its partitions are assigned by hand, and nothing is committed."""
        options = self._config.consumer_options("tollbook-redrive", protocol="classic")
        consumer = Consumer({**options, "enable.partition.eof": True, "log_level": 0})
        try:
            yield consumer
        finally:
            consumer.close()
