"""One installation of Tollbook on a broker of the tests: topics under a prefix, a catalog, a lake, and its
processes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable

from schemas.kafka import topics
from schemas.kafka.topics import USAGE_EVENTS, required_settings
from schemas.kafka.wire import Headers
from tests.kafka.messages import events_message
from tests.kafka.processes import Process
from tollbook.kafka.cluster import Cluster
from tollbook.kafka.options import KafkaConfig

Message = tuple[bytes | None, Headers]


class Installation:
    """Everything under one prefix. `close` ends its processes; the topics go with the prefix."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, catalog: Path, *, partitions: int = 2) -> None:
        self.config = KafkaConfig(bootstrap_servers=bootstrap, prefix=prefix)
        self.prefix = prefix
        self.lake = folder / "lake"
        self.catalog = catalog
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self.partitions = partitions
        self.make(*(topic.name for topic in topics.table()))
        self._producer = Producer({**self.config.producer_options(linger_ms=0), "log_level": 0})
        self._sent: dict[int, int] = {}
        self._processes: list[Process] = []
        self._askers: dict[str, Consumer] = {}

    def make(self, *names: str) -> None:
        """Topics as `tollbook topics create` makes them: the broker knows them then."""
        demanded = [t for t in topics.table(self.prefix, self.partitions) if t.name.removeprefix(self.prefix) in names]
        new = {t.name: (t.partitions, {r.setting: r.value for r in required_settings(t, 1)}) for t in demanded}
        cluster = Cluster(self.config)
        cluster.make(new, replication=1)
        assert not cluster.settled(lambda: sorted(new.keys() - cluster.found(list(new)).keys()))

    def set(self, name: str, **settings: str) -> None:
        """Change settings of a topic."""
        Cluster(self.config).set(self.prefix + name, settings)

    def delete(self, name: str) -> None:
        """Delete a topic, and wait until it is gone."""
        full = self.prefix + name
        self.admin.delete_topics([full], operation_timeout=30)[full].result()
        while full in self.admin.list_topics(timeout=10).topics:
            pass

    def land(
        self, *words: str, env: Mapping[str, str] | None = None, code: Sequence[str] = ("-m", "tollbook")
    ) -> Process:
        return self._start("land", "--lake", str(self.lake), "--commit-s", "0.1", *words, env=env, code=code)

    def ingest(
        self, *words: str, env: Mapping[str, str] | None = None, code: Sequence[str] = ("-m", "tollbook")
    ) -> Process:
        return self._start("ingest", *words, env=env, code=code)

    def quota(
        self, *words: str, env: Mapping[str, str] | None = None, code: Sequence[str] = ("-m", "tollbook")
    ) -> Process:
        return self._start("quota", "--lake", str(self.lake), *words, env=env, code=code)

    def committed(self, group: str, topic: str, partition: int) -> int:
        """How far a group says it is."""
        where = TopicPartition(self.prefix + topic, partition)
        (known,) = self._asker(self.prefix + group).committed([where], timeout=10)
        return max(0, int(known.offset))

    def values(self, topic: str) -> list[bytes]:
        """The values of all messages of a topic."""
        ends = self.ends(topic)
        asker = self._asker("none")
        asker.assign([TopicPartition(self.prefix + topic, p, 0) for _, p in ends])
        found = asker.consume(sum(ends.values()), timeout=20)
        return [message.value() or b"" for message in found]

    def ends(self, *names: str) -> dict[tuple[str, int], int]:
        """(topic without its prefix, partition) → the offset after its newest message."""
        asker = self._asker("none")
        described = asker.list_topics(timeout=10).topics
        where = [(name, p) for name in names for p in described[self.prefix + name].partitions]
        return {
            (n, p): asker.get_watermark_offsets(TopicPartition(self.prefix + n, p), timeout=10)[1] for n, p in where
        }

    def _asker(self, group: str) -> Consumer:
        if group not in self._askers:
            self._askers[group] = Consumer({**self.config.client_options(), "group.id": group, "log_level": 0})
        return self._askers[group]

    def send(self, topic: str, message: Message, *, partition: int = 0) -> None:
        """Send one message, and wait until the broker has it."""
        value, headers = message
        self._producer.produce(self.prefix + topic, value, partition=partition, headers=list(headers))
        assert self._producer.flush(30) == 0

    def send_events(self, messages: int, *, partition: int = 0) -> None:
        """So many good messages of ten events each to a partition of `usage.events`, going on where the last ended."""
        for _ in range(messages):
            start = self._sent.get(partition, 0)
            at = range(start, start + 10)
            self.send(
                USAGE_EVENTS, events_message(f"g{partition}", at, (f"{partition}-{n}" for n in at)), partition=partition
            )
            self._sent[partition] = at.stop

    def delete_records(self, topic: str, before: int, *, partition: int = 0) -> None:
        """What retention does: the messages below an offset are gone."""
        where = TopicPartition(self.prefix + topic, partition, before)
        self.admin.delete_records([where])[where].result()

    def landed(self, partition: int = 0, topic: str = USAGE_EVENTS) -> int | None:
        """The lake's next offset of a partition."""
        app = f"land/{self.prefix}{topic}/{partition}"
        version: int | None = DeltaTable(self.lake / "events").transaction_version(app)
        return version

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for asker in self._askers.values():
            asker.close()

    def _start(
        self, name: str, *words: str, env: Mapping[str, str] | None = None, code: Sequence[str] = ("-m", "tollbook")
    ) -> Process:
        where = ("--bootstrap-servers", self.config.bootstrap_servers, "--prefix", self.prefix)
        process = Process([name, *where, "--catalog", self.catalog, *words], env=env, code=code)
        self._processes.append(process)
        return process
