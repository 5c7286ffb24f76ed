"""The cluster, as its administrator sees it: what topics there are and how they are set, and how they are made.

A shell over librdkafka's admin client. Everything that goes wrong is raised as one of the decisions of kafka_errors.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from tollbook.kafka.errors import KafkaRefused, KafkaUnreachable, decided
from tollbook.kafka.options import KafkaConfig

TIMEOUT_S = 10
_TRY_S = 1.0
_REST_S = 0.05
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A topic as it is. `topic_id` changes when a topic is deleted and made again. `replication` is the least of its partitions."""

    name: str
    topic_id: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


class Cluster:
    """Talks to the brokers of one configuration. Raises when it is made and nobody answers."""

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

    def found(self, names: Sequence[str]) -> dict[str, Found]:
        """Those of the topics that exist, with their settings."""
        topics = {}
        for name, answer in self._admin.describe_topics(TopicCollection(list(names)), **self._limit).items():
            with self._deciding(f"describing topic {name}", but=KafkaError.UNKNOWN_TOPIC_OR_PART):
                topics[name] = answer.result()
        settings = self._settings(ResourceType.TOPIC, topics)
        return {
            name: Found(
                name=name,
                topic_id=str(topic.topic_id),
                partitions=len(topic.partitions),
                replication=min(len(p.replicas) for p in topic.partitions),
                settings=settings[name],
            )
            for name, topic in topics.items()
            if name in settings  # else the broker that was asked for them has not heard of the topic yet
        }

    def makes_topics_itself(self) -> bool | None:
        """Whether a broker makes a topic that somebody merely mentions; None where we may not know."""
        try:
            settings = [self._settings(ResourceType.BROKER, [str(broker)]) for broker in self._brokers]
        except KafkaRefused:
            return None  # managed clusters show nobody how their brokers are set
        return any(s.get("auto.create.topics.enable") == "true" for broker in settings for s in broker.values())

    def make(self, topics: Mapping[str, tuple[int, Mapping[str, str]]], *, replication: int) -> None:
        """Make topics, each of so many partitions and with these settings.

        A topic that another process made meanwhile stays as that one made it: compare again afterwards.
        """
        new = [
            NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(settings))
            for name, (partitions, settings) in topics.items()
        ]
        if new:
            for name, answer in self._admin.create_topics(
                new, operation_timeout=self._timeout_s, **self._limit
            ).items():
                with self._deciding(f"making topic {name}", but=KafkaError.TOPIC_ALREADY_EXISTS):
                    answer.result()

    def set(self, name: str, settings: Mapping[str, str]) -> None:
        """Change settings of a topic; those that are not named stay."""
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for answer in self._admin.incremental_alter_configs([resource], **self._limit).values():
            with self._deciding(f"setting topic {name}"):
                answer.result()

    def settled(self, look: Callable[[], list[Answer]]) -> list[Answer]:
        """What `look` finds left to do after `make` and `set`: they answer before every broker has heard of the change."""
        deadline = time.monotonic() + self._timeout_s
        while (left := look()) and time.monotonic() < deadline:
            self._admin.poll(_REST_S)
        return left

    def _connected(self) -> list[int]:
        """The ids of the brokers. A refused login is not tried until the time is up: it would be refused again."""
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
        """Turn an error into a decision; one with code `but` means that there is nothing to do."""
        try:
            yield
        except KafkaException as exc:
            if exc.args[0].code() != but:
                raise self._decided(exc, doing) from exc

    def _decided(self, exc: KafkaException, doing: str) -> KafkaRefused | KafkaUnreachable:
        self._admin.poll(0)  # hands over what was seen on the connections
        return decided(exc.args[0], doing, self._servers, self._seen)
