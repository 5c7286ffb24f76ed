"""The quota worker as a process on a real Kafka: its topics, totals for it, what it says, and its end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from lake.lake import Lake
from schemas.kafka import topics
from schemas.kafka.partitions import partition_of_key
from schemas.kafka.totals import Total, messages
from tollbook.deciding.publisher import AS_OF
from tollbook.deciding.states import KEY
from tollbook.kafka.cluster import Cluster
from tollbook.kafka.options import KafkaConfig

ROOT = Path(__file__).parent.parent.parent
START = datetime(2026, 10, 1, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)
THRESHOLDS = tuple(Decimal(t) for t in (50, 80, 90, 100))
PARTITIONS = 3
ANSWER_S = 60.0
OWN = ("usage.totals", "usage.alerts", "quota.state", "tollbook-quota")  # the topics that the worker needs


def total(used: object, version: int, *, partner: str = "acme", part: int = 0, **changes: Any) -> Total:
    """A total of a quota of 1000 requests in October, with usage until the hour that `version` names."""
    values: dict[str, Any] = {
        "partner_id": partner, "meter": "requests", "unit": "requests", "plan": "gold", "kind": "MONTH", "start": START, "end": END,
        "limit": Decimal(1000), "thresholds": THRESHOLDS, "events_partition": part, "used": Decimal(str(used)),
        "seen_until": START + timedelta(hours=version), "events_version": version,
    }  # fmt: skip
    return Total(**{**values, **changes})


CATALOG = "meters: [{id: requests, aggregate: count, unit: requests}]\n"  # of lakes in which there are no events


@dataclass
class Quotas:
    """An installation of its own on a shared broker."""

    kafka: KafkaConfig
    folder: Path  # of its lake and catalog

    @property
    def lake(self) -> Lake:
        return Lake(self.folder / "lake")

    @property
    def servers(self) -> str:
        return self.kafka.bootstrap_servers

    def name(self, topic: str) -> str:
        return self.kafka.prefix + topic

    def create(self, partitions: int = PARTITIONS, *, but: str | None = None) -> None:
        """The worker's topics, but for one, as `tollbook topics create` would make them."""
        cluster = Cluster(self.kafka)
        made = [t for t in topics.table(partitions=partitions) if t.name.startswith(OWN) and t.name != but]
        there = cluster.found([self.name(t.name) for t in made])
        made = [t for t in made if self.name(t.name) not in there]
        cluster.make(
            {
                self.name(t.name): (t.partitions, {r.setting: r.value for r in topics.required_settings(t, 1)})
                for t in made
            },
            replication=1,
        )
        self.described(cluster, [t.name for t in made])

    def described(self, cluster: Cluster, names: Sequence[str]) -> None:
        """Wait until the broker describes what it has made: it answers before it does."""
        wanted = {self.name(name) for name in names}
        assert not cluster.settled(lambda: sorted(wanted - cluster.found(sorted(wanted)).keys()))

    def delete(self, topic: str) -> None:
        admin = AdminClient({**self.kafka.client_options()})
        admin.delete_topics([self.name(topic)])[self.name(topic)].result(30)

    def send(self, *totals: Total, partitions: int = PARTITIONS) -> None:
        """Publish totals as the land worker does."""
        self.put(
            topics.USAGE_TOTALS,
            [
                (message.key, message.value, partition_of_key(message.partner_id, partitions))
                for total in totals
                for message in messages([total])
            ],
        )

    def put(self, topic: str, records: list[tuple[str, bytes, int]]) -> None:
        """Write records, all or an error."""
        producer = Producer({**self.kafka.producer_options(linger_ms=0), "log_level": 0})
        refused = []
        for key, value, partition in records:
            producer.produce(
                self.name(topic),
                value,
                key,
                partition=partition,
                on_delivery=lambda e, _: refused.append(e) if e else None,
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not refused, refused

    def read(self, topic: str, until: int | None = None, timeout_s: float = ANSWER_S) -> list[Message]:
        """Everything in a topic, in the order of each partition; wait until there are as many as `until`."""
        options = {**self.kafka.consumer_options("reader"), "enable.partition.eof": True, "fetch.wait.max.ms": 50}
        consumer = Consumer(options)
        numbers = consumer.list_topics(self.name(topic), timeout=30).topics[self.name(topic)].partitions
        consumer.assign([TopicPartition(self.name(topic), n, 0) for n in numbers])
        found: list[Message] = []
        ended: set[int] = set()
        with contextlib.closing(consumer):
            deadline = datetime.now(UTC) + timedelta(seconds=timeout_s)
            while len(ended) < len(numbers) or len(found) < (until or 0):
                assert datetime.now(UTC) < deadline, f"{len(found)} of {until} in {topic}"
                for message in consumer.consume(1000, 0.1):
                    if message.error():
                        ended.add(int(message.partition() or 0))
                    else:
                        found.append(message)
        return found

    def alerts(self, until: int | None = None) -> list[dict[str, Any]]:
        """The alerts as they stand in the topic, repeats among them."""
        return [json.loads(m.value() or b"") for m in self.read(topics.USAGE_ALERTS, until)]

    def states(self) -> dict[str, dict[str, Any]]:
        """The newest state of each quota. The topic also has decisions about credentials (test_quota_state.py)."""
        records = [((m.key() or b"").decode(), m) for m in self.read(topics.QUOTA_STATE)]
        return {key: json.loads(m.value() or b"") for key, m in records if key != AS_OF and not key.startswith(KEY)}

    def committed(self) -> int:
        """How many totals the group has done with, for good. 0 while the broker is choosing who knows."""
        consumer = Consumer({**self.kafka.consumer_options(topics.QUOTA_APP, protocol="classic"), "log_level": 0})
        asked = [TopicPartition(self.name(topics.USAGE_TOTALS), p) for p in range(PARTITIONS)]
        with contextlib.closing(consumer):
            try:
                return sum(max(p.offset, 0) for p in consumer.committed(asked, timeout=30))
            except KafkaException as exc:
                if not exc.args[0].retriable() and exc.args[0].name() != "NOT_COORDINATOR":
                    raise
                return 0

    def await_committed(self, count: int) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=ANSWER_S)
        while (done := self.committed()) < count:
            assert datetime.now(UTC) < deadline, f"{done} of {count} committed"

    @contextlib.contextmanager
    def worker(self, *options: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> Iterator["Worker"]:
        """`tollbook quota`, running; killed at the end if it still does."""
        command = [
            sys.executable, "-m", "tollbook", "quota", "--bootstrap-servers", self.servers,
            "--prefix", self.kafka.prefix, "--session-timeout-ms", "6000",
            "--lake", str(self.folder / "lake"), "--catalog", str(self.folder / "catalog"), *options,
        ]  # fmt: skip
        (self.folder / "catalog").mkdir(exist_ok=True)
        (self.folder / "catalog" / "catalog.yaml").write_text(CATALOG)
        with tempfile.TemporaryFile("w+") as log:  # no pipe: one that nobody reads would stop the worker
            process = subprocess.Popen(command, cwd=cwd, stderr=log, text=True, env={**os.environ, **(env or {})})
            worker = Worker(process, log)
            try:
                yield worker
            finally:
                if process.poll() is None:
                    worker.kill()
                print(worker.logged)  # shown with a test that fails


@dataclass
class Worker:
    """A running process and what it says."""

    process: "subprocess.Popen[str]"
    log: IO[str]

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = 15) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def ended(self) -> tuple[int, str]:
        """Wait until it ends by itself: exit code and output."""
        return self.process.wait(ANSWER_S), self.logged

    @property
    def logged(self) -> str:
        """Its output so far."""
        self.log.seek(0)
        return self.log.read()
