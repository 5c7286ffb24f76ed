"""All workers of an installation under a supervisor that restarts them, and the faults that happen to them.

Imports nothing of Tollbook: it sees what an operator sees, the command, its logs, the topics and the lake's files.
"""

import collections
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable

from tests.e2e.comparison import tollbook
from tests.e2e.oracle import Record
from tests.kafka.broker import Broker
from tests.kafka.processes import STOP_LIMIT_S, Process

PARTITIONS = 4
SESSION_MS = 6000
SESSION_OVER_S = 8.0
INGEST, LAND, QUOTA = ("ingest-a", "ingest-b"), ("land-a", "land-b"), ("quota-a",)
GROUPS = ("tollbook-ingest", "tollbook-land")
ACCESS, EVENTS, DEAD = ("gateway.access", PARTITIONS), ("usage.events", PARTITIONS), ("usage.dead", 1)
AGAIN = 75
FAULTY = ("-m", "tests.e2e.mutants")
WORK = {"ingest": "ingested", "land": "landed"}  # what a worker says of each batch
QUIET_LIMIT_S = 120  # so long may nothing move at all


class Fleet:
    """Two ingest and two land workers and one for quotas, over one broker and one lake."""

    def __init__(self, broker: Broker, folder: Path, *, commit_entries: int = 700) -> None:
        self.broker = broker
        self.lake = folder / "lake"
        self.exits: collections.Counter[tuple[str, int]] = collections.Counter()
        self.kills: collections.Counter[str] = collections.Counter()
        self.kills_at_work = self.broker_kills = self.resets = 0
        self._words = {
            "ingest": ["--catalog", folder / "catalog"],
            "land": ["--catalog", folder / "catalog", "--lake", self.lake, "--commit-entries", commit_entries, "--commit-s", 0.3, "--upkeep-s", 1],
            "quota": ["--catalog", folder / "catalog", "--lake", self.lake],
        }  # fmt: skip
        self._where = ["--bootstrap-servers", broker.bootstrap, "--session-timeout-ms", SESSION_MS]
        self._running: dict[str, Process] = {}
        self._past: list[tuple[str, Process]] = []
        self._never = threading.Event()
        tollbook(
            "topics", "create", "--bootstrap-servers", broker.bootstrap, "--partitions", PARTITIONS, "--replication", 1
        )
        self._options = options = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        self._producer = Producer({**options, "enable.idempotence": True, "linger.ms": 2, "compression.type": "lz4"})
        self._looker = Consumer({**options, "group.id": GROUPS[0], "enable.auto.commit": False})

    def start(self, *names: str, env: Mapping[str, str] | None = None) -> None:
        """Start workers; with `env`, through the entry point that has faults."""
        for name in names:
            role = name.partition("-")[0]
            process = Process(
                [role, *self._where, "--instance", name, *self._words[role]], env=env, code=FAULTY if env else ("-m", "tollbook")
            )  # fmt: skip
            self._running[name] = process
            self._past.append((name, process))

    def send(self, records: Sequence[Record]) -> None:
        """Send records, each to its partition and in this order, and wait until the broker has them."""
        failed: list[str] = []
        for record in records:
            self._producer.produce(
                ACCESS[0], record.value, partition=record.partition, headers=record.headers,
                on_delivery=lambda error, _: failed.append(error.str()) if error else None,
            )  # fmt: skip
        assert self._producer.flush(120) == 0
        assert failed == []

    def rest(self, seconds: float) -> None:
        """Let the workers work."""
        self._never.wait(seconds)

    def tend(self) -> None:
        """Start again what has ended by itself: it must have asked for that."""
        for name, process in list(self._running.items()):
            code = process.code
            if code is not None:
                code = process.ended()
                self.exits[name.partition("-")[0], code] += 1
                assert code == AGAIN, f"{name} ended with {code}: {process.tail()}"
                self.start(name)

    def until(self, done: Callable[[], bool], *, moves: Callable[[], object] | None = None) -> None:
        """Tend the workers until it is `done`; give up when nothing that `moves` has moved for long."""
        last, since = None, time.monotonic()
        while not done():
            self.tend()
            now = moves() if moves else None
            if now != last:
                last, since = now, time.monotonic()
            assert time.monotonic() - since < QUIET_LIMIT_S, f"nothing moves: {last} of {self._ends()}; {self.tails()}"
            self.rest(0.1)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.kills_at_work += not self.all_landed()
        process = self._running.pop(name)
        process.kill()
        assert process.code in {-signal.SIGKILL, AGAIN}, f"{name} ended with {process.code}: {process.tail()}"
        self.kills[name.partition("-")[0]] += 1

    def process(self, name: str) -> Process:
        return self._running[name]

    def worked(self, name: str) -> int:
        """How many batches a worker has done in all its lives."""
        message = WORK[name.partition("-")[0]]
        return sum(line["message"] == message for n, p in self._past if n == name for line in p.log_lines)

    def stop(self, *names: str) -> None:
        """SIGTERM: the workers must end in time; one that had hardly begun need not end well."""
        going = {name: self._running.pop(name) for name in names}
        for process in going.values():
            process.signal(signal.SIGTERM)
        for name, process in going.items():
            code = process.ended(STOP_LIMIT_S)
            assert code in {0, AGAIN, -signal.SIGTERM}, f"{name} ended with {code}: {process.tail()}"

    def settled(self) -> None:
        """Wait until everything that was sent is in the lake."""
        self.until(self.all_landed, moves=self.offsets)

    def all_landed(self) -> bool:
        """Whether ingest has read and land has landed everything there is now."""
        offsets, ends = self.offsets(), self._ends()
        return ends is not None and all(offsets.get(where) == end for where, end in ends.items() if end)

    def offsets(self) -> dict[tuple[str, int], int]:
        """How far ingest has committed, and how far the lake is."""
        asked = [TopicPartition(ACCESS[0], p) for p in range(PARTITIONS)]
        try:
            read = {(p.topic, p.partition): p.offset for p in self._looker.committed(asked, timeout=5)}
        except KafkaException:
            read = {}
        return read | self.lake_offsets()

    def lake_offsets(self) -> dict[tuple[str, int], int]:
        """The lake's next offsets."""
        if not DeltaTable.is_deltatable(str(self.lake / "events")):
            return {}
        table = DeltaTable(self.lake / "events")
        found = {(t, p): table.transaction_version(f"land/{t}/{p}") for t, n in (EVENTS, DEAD) for p in range(n)}
        return {where: version for where, version in found.items() if version is not None}

    def reset(self, *, forget: bool) -> None:
        """Set all offsets of the groups to zero, or delete the groups. Nobody may be at work."""
        admin = AdminClient(self._options)

        def idle() -> bool:
            described = admin.describe_consumer_groups(list(GROUPS), request_timeout=10)
            return all(
                done.result().state in {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}
                for done in described.values()
            )

        self.until(idle)
        self.resets += 1
        if forget:
            for done in admin.delete_consumer_groups(list(GROUPS)).values():
                done.result()
            return
        for group, topics in zip(GROUPS, [[ACCESS], [EVENTS, DEAD]], strict=True):
            zero = [TopicPartition(topic, p, 0) for topic, count in topics for p in range(count)]
            asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, zero)])
            for done in asked.values():
                done.result()

    def totals(self, message: str, field: str) -> int:
        """The sum of a field over the log lines of all workers."""
        return sum(line.get(field, 0) for _, p in self._past for line in p.log_lines if line["message"] == message)

    def logged(self, text: str) -> int:
        """How many lines of all workers hold a text."""
        return sum(text in str(line["message"]) for _, p in self._past for line in p.log_lines)

    def commits(self) -> int:
        """How many commits `events` has."""
        return int(DeltaTable(self.lake / "events").version())

    def tails(self) -> str:
        return "\n".join(f"{name}: {process.tail(4)}" for name, process in self._running.items())

    def close(self) -> None:
        for _, process in self._past:
            process.kill()
        self._looker.close()

    def _ends(self) -> dict[tuple[str, int], int] | None:
        try:
            return {
                (topic, p): self._looker.get_watermark_offsets(TopicPartition(topic, p), timeout=5)[1]
                for topic, count in (ACCESS, EVENTS, DEAD)
                for p in range(count)
            }
        except KafkaException:
            return None


class Faults:
    """What happens to a fleet, seeded."""

    def __init__(self, fleet: Fleet, records: Sequence[Record], seed: int, kills: int, *, broker_kills: int) -> None:
        self._fleet = fleet
        self._rng = random.Random(seed)
        plan: list[Callable[[], None]] = [self._killer(name) for name in (*INGEST, *LAND) for _ in range(kills)]
        plan += [self._killer(QUOTA[0]) for _ in range(max(1, kills // 3))]
        plan += [self._restart_broker for _ in range(broker_kills)]
        plan += [self._sleeping_ingest, self._zombie]
        self._rng.shuffle(plan)
        plan.insert(len(plan) // 2, self._reset)
        self._plan = plan
        self._kills = 0
        size = len(records) / (2 * len(plan) + 1)
        self._slices = [records[round(i * size) : round((i + 1) * size)] for i in range(2 * len(plan) + 1)]

    def run(self) -> None:
        """All of them, while records come in; then the rest of the records."""
        self._fleet.start(*INGEST, *LAND, *QUOTA)
        for fault in self._plan:
            self._feed()
            fault()
            self._fleet.tend()
        self._feed()
        assert not self._slices, "all was sent"
        self._fleet.settled()

    def _feed(self) -> None:
        self._fleet.send(self._slices.pop(0))

    def _killer(self, name: str) -> Callable[[], None]:
        def kill() -> None:
            """At a random moment, with new work just come. Every fourth time others take over before it is back."""
            self._fleet.rest(self._rng.random())
            self._feed()
            self._fleet.rest(self._rng.random() * 0.3)
            self._fleet.tend()
            self._fleet.kill(name)
            self._kills += 1
            self._fleet.rest(SESSION_OVER_S if self._kills % 4 == 0 else self._rng.random())
            self._fleet.start(name)

        return kill

    def _restart_broker(self) -> None:
        self._fleet.rest(self._rng.random())
        self._feed()
        self._fleet.broker.restart()
        self._fleet.broker_kills += 1

    def _sleeping_ingest(self) -> None:
        """Stopped past its session while it works, and woken when another has its partitions."""
        sleeper = self._fleet.process(self._rng.choice(INGEST))
        self._feed()
        self._fleet.rest(self._rng.random() * 0.3)
        sleeper.signal(signal.SIGSTOP)
        self._fleet.rest(SESSION_OVER_S)
        sleeper.signal(signal.SIGCONT)

    def _zombie(self) -> None:
        """A land worker that is stopped just before a commit, and wakes when all it held has moved on without it."""
        fleet, name = self._fleet, self._rng.choice(LAND)
        fleet.settled()
        fleet.kill(name)
        fleet.start(name, env={"TOLLBOOK_TEST_FAULT": "sleep@1"})
        sleeper = fleet.process(name)
        sleeper.until_logged("assigned")
        self._feed()
        fleet.until(lambda: sleeper.is_asleep)
        fleet.settled()
        sleeper.signal(signal.SIGCONT)
        sleeper.until_logged("another worker owns this worker's partitions")
        assert sleeper.ended() == AGAIN

    def _reset(self) -> None:
        """Offsets of both groups to zero: the one is for display, and what the other leads to send again is known."""
        self._feed()
        self._fleet.stop(*INGEST, *LAND)
        self._fleet.reset(forget=False)
        self._fleet.start(*INGEST, *LAND)
