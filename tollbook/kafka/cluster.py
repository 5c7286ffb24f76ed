"""Administration of the cluster: which topics exist, their settings, and how they are created.

It wraps librdkafka's admin client. Every failure is raised as KafkaRefused or KafkaUnreachable.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tollbook.kafka.errors import KafkaRefused, KafkaUnreachable, decided
from tollbook.kafka.options import KafkaConfig

TIMEOUT_S = 10
_TRY_S = 1.0
_REST_S = 0.05
_WITHOUT_LEADER = {
    "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "_NOENT",
    "KAFKA_STORAGE_ERROR", "REPLICA_NOT_AVAILABLE", "UNKNOWN_LEADER_EPOCH", "FENCED_LEADER_EPOCH",
}  # fmt: skip
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class ExistingTopic:
    """A topic of the cluster. `topic_id` changes if the topic is recreated.

    `replication` is the minimum of its partitions.
    """

    name: str
    topic_id: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


class Cluster:
    """A connection to the brokers of one configuration. The constructor raises if no broker answers."""

    def __init__(self, config: KafkaConfig, *, timeout_s: float = TIMEOUT_S) -> None:
        self._servers = config.bootstrap_servers
        self._timeout_s = timeout_s
        self._seen: list[KafkaError] = []
        try:
            options: dict[str, Any] = {**config.client_options(), "log_level": 0, "error_cb": self._seen.append}
            self._admin = AdminClient(options)
        except KafkaException as exc:
            raise decided(exc.args[0], "options", self._servers) from exc
        self._brokers = self._connected()

    def found(self, names: Sequence[str]) -> dict[str, ExistingTopic]:
        """The existing topics among `names`, with their settings."""
        topics = {}
        for name, answer in self._admin.describe_topics(TopicCollection(list(names)), **self._limit).items():
            with self._deciding(f"describing topic {name}", but=KafkaError.UNKNOWN_TOPIC_OR_PART):
                topics[name] = answer.result()
        settings = self._settings(ResourceType.TOPIC, topics)
        return {
            name: ExistingTopic(
                name=name,
                topic_id=str(topic.topic_id),
                partitions=len(topic.partitions),
                replication=min(len(p.replicas) for p in topic.partitions),
                settings=settings[name],
            )
            for name, topic in topics.items()
            if name in settings  # otherwise the queried broker does not know the new topic yet
        }

    def leaderless(self, partitions: Mapping[str, int]) -> list[str]:
        """The partitions that nobody serves yet, as topic/number. `partitions` maps a topic to their number.

        For a moment after a topic was created, brokers describe it and answer requests for it with errors.
        """
        where = [TopicPartition(name, number) for name, count in partitions.items() for number in range(count)]
        with self._deciding("reading the metadata"):
            self._admin.list_topics(timeout=self._timeout_s)  # or the client keeps to what it knew before
        ends = {partition: OffsetSpec.latest() for partition in where}  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(ends, **self._limit) if where else {}
        found = []
        for partition, answer in asked.items():
            try:
                answer.result()
            except KafkaException as exc:
                if exc.args[0].name() not in _WITHOUT_LEADER:
                    raise self._decided(exc, f"asking for the end of {partition.topic}/{partition.partition}") from exc
                found.append(f"{partition.topic}/{partition.partition}")
        return found

    def makes_topics_itself(self) -> bool | None:
        """Whether brokers create a topic on first use. None if this user may not read the setting."""
        try:
            settings = [self._settings(ResourceType.BROKER, [str(broker)]) for broker in self._brokers]
        except KafkaRefused:
            return None  # managed clusters do not show the settings of their brokers
        return any(s.get("auto.create.topics.enable") == "true" for broker in settings for s in broker.values())

    def make(self, topics: Mapping[str, tuple[int, Mapping[str, str]]], *, replication: int) -> None:
        """Create topics, each with a number of partitions and settings.

        A topic that another process created meanwhile is left as it is, so compare the topics again afterwards.
        """
        new = [
            NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(settings))
            for name, (partitions, settings) in topics.items()
        ]
        if new:
            for name, answer in self._admin.create_topics(
                new, operation_timeout=self._timeout_s, **self._limit
            ).items():
                with self._deciding(f"creating topic {name}", but=KafkaError.TOPIC_ALREADY_EXISTS):
                    answer.result()

    def set(self, name: str, settings: Mapping[str, str]) -> None:
        """Change the given settings of a topic. Other settings stay."""
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for answer in self._admin.incremental_alter_configs([resource], **self._limit).values():
            with self._deciding(f"setting topic {name}"):
                answer.result()

    def settled(self, look: Callable[[], list[Answer]]) -> list[Answer]:
        """What `look` still finds after `make` and `set`.

        It is retried, as these return before every broker has the change.
        """
        deadline = time.monotonic() + self._timeout_s
        while (left := look()) and time.monotonic() < deadline:
            self._admin.poll(_REST_S)
        return left

    def _connected(self) -> list[int]:
        """The ids of the brokers. Failures are retried until the timeout, except a refused login."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return sorted(self._admin.list_topics(timeout=min(_TRY_S, self._timeout_s)).brokers)
            except KafkaException as exc:
                decision = self._decided(exc, "connecting")
                if isinstance(decision, KafkaRefused) or time.monotonic() > deadline:
                    raise decision from exc
                self._admin.poll(_REST_S)

    def _settings(self, kind: ResourceType, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(kind, name) for name in names]
        if not resources:
            return {}
        settings = {}
        for resource, answer in self._admin.describe_configs(resources, **self._limit).items():
            doing = f"reading the settings of {kind.name.lower()} {resource.name}"
            with self._deciding(doing, but=KafkaError.UNKNOWN_TOPIC_OR_PART):
                settings[resource.name] = {k: e.value for k, e in answer.result().items() if e.value is not None}
        return settings

    @property
    def _limit(self) -> dict[str, float]:
        return {"request_timeout": self._timeout_s}

    @contextmanager
    def _deciding(self, doing: str, *, but: int | None = None) -> Iterator[None]:
        """Raise errors as KafkaRefused or KafkaUnreachable. An error with the code `but` is ignored."""
        try:
            yield
        except KafkaException as exc:
            if exc.args[0].code() != but:
                raise self._decided(exc, doing) from exc

    def _decided(self, exc: KafkaException, doing: str) -> KafkaRefused | KafkaUnreachable:
        self._admin.poll(0)  # delivers the errors of connections to `_seen`
        return decided(exc.args[0], doing, self._servers, self._seen)
