"""The process of `tollbook land`: from `usage.events` and `usage.dead` to the lake, then to `usage.totals`.

Totals are published after a commit is durable. If a crash prevents it, the next owner of the partition publishes them
from the lake.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, Message, Producer

from aggregate import upkeep
from aggregate.landing.kafka_log import KafkaLog
from aggregate.landing.known_topics import KnownTopic, recognise
from aggregate.landing.land import Land, Landed
from aggregate.quota import grants, limits
from ingest.kafka.sending import produce
from lake.lake import Lake
from lake.lock import Taken
from schemas.catalog.records import Catalog
from schemas.halts import Halt, Halted
from schemas.kafka.partitions import partitions_of_keys
from schemas.kafka.totals import Total, messages
from schemas.log import Partition
from tollbook.workers import loop, metrics
from tollbook.workers.quota_feed import Totals
from tollbook.workers.unknown_metrics import UnknownCredentials

UPKEEP_EVERY_S = 60.0
UPKEEP_S = 2.0  # after which nothing new is begun
UPKEEP = upkeep.USUAL._replace(group_bytes=32 << 20)
GRANTS_S = 0.5  # how often table `grants` is looked at, which delays a grant


class LandTopics(NamedTuple):
    """The topics to read, and the topic of totals."""

    events: KnownTopic
    dead: KnownTopic
    totals: str
    totals_partitions: int


class LandWorker:
    """The land worker. Drop it after any exception."""

    def __init__(
        self,
        lake: Lake,
        catalog: Catalog,
        topics: LandTopics,
        consumer: Consumer,
        producer: Producer,
        log: logging.Logger,
        *,
        now: Callable[[], datetime],
        commit_entries: int,
        commit_s: float,
        upkeep_s: float,
    ) -> None:
        """`upkeep_s`: from one upkeep of the lake to the next; 0: none."""
        lake.create()
        recognise(lake, topics.events)
        recognise(lake, topics.dead)
        self._lake = lake
        self._topics = topics
        self._producer = producer
        self._log = log
        self._now = now
        self._totals = Totals(catalog, limits.since(lake, catalog, now=now()))
        self._grants = grants.Watch(lake)
        self._grants_due_s = 0.0
        self._upkeep_every_s = upkeep_s or float("inf")
        self._upkeep_due_s = time.monotonic() + self._upkeep_every_s
        self._unknown = UnknownCredentials()
        self._undelivered: list[str] = []
        self._shown: set[Partition] = set()  # partitions whose lag is in the metrics
        names = [topics.events.topic, topics.dead.topic]
        self._kafka = KafkaLog(consumer, names, poll_s=min(0.2, commit_s), on_halt=self._halted)
        self._land = Land(
            lake, self._kafka, catalog_sha256=catalog.sha256, now=now, commit_entries=commit_entries, commit_s=commit_s, on_assigned=self._assigned
        )  # fmt: skip

    def step(self) -> Landed | None:
        """Land one batch if there is one, publish its totals, and report it."""
        begun = time.monotonic()
        if begun >= self._grants_due_s:
            self._grants_due_s = begun + GRANTS_S
            self._judge_grants()
        if begun >= self._upkeep_due_s:
            self._keep_up(begun)
        landed = self._land.step()
        self._show_partitions()
        self._producer.poll(0)
        if self._undelivered:
            raise Halted(
                Halt.UNDELIVERED, f"{self._undelivered[0]}; a restart publishes the totals again from the lake"
            )
        if landed is None:
            if self._land.unsettled:
                self._land.settle()  # idle: bring the derived tables up to date for readers
            return None
        self._publish(self._totals.add(landed.fold, landed.version))
        self._kafka.commit(landed.offsets)
        self._report(landed, time.monotonic() - begun)
        return landed

    def _judge_grants(self) -> None:
        """Publish totals with another limit: a grant was recorded, began or ended, with or without usage."""
        now = self._now()
        if self._grants.moved(now):
            self._publish(self._totals.judge(self._grants.grants, now))

    def _keep_up(self, begun: float) -> None:
        """Do some upkeep, unless another worker of this machine does. Workers of other machines are fenced."""
        self._upkeep_due_s = begun + self._upkeep_every_s
        while not self._land.settle():
            pass
        try:
            with self._lake.lock(upkeep.LOCK):
                for done in upkeep.keep_up(
                    self._lake, now=self._now(), rules=UPKEEP, go_on=lambda: time.monotonic() < begun + UPKEEP_S
                ):
                    self._log.info("upkeep", extra={"fields": done._asdict()})
        except Taken:
            return

    def wrong(self) -> list[str]:
        """The reasons why this process is unhealthy."""
        return [str(halted) for halted in self._kafka.halted.values()]

    def end(self, drain_s: float) -> None:
        """Leave the group. The next owner reads again what was not committed."""
        while not self._land.settle():
            pass  # another worker updates them, too; each attempt completes one of the two
        self._producer.flush(drain_s)
        self._kafka.close()

    def _assigned(self, partitions: Sequence[Partition]) -> None:
        for topic in (self._topics.events, self._topics.dead):
            if any(p.source == topic.topic and p.number >= topic.partitions for p in partitions):
                raise Halted(
                    Halt.PARTITIONS_CHANGED,
                    f"{topic.topic} had {topic.partitions} partitions when this worker started and has more now, so a resend could miss "
                    f"its first copy. Continue with new topics under another --prefix",
                )
        events = [p.number for p in partitions if p.source == self._topics.events.topic]
        if events:
            self._publish(self._totals.reload(self._lake, events))
        names = ", ".join(p.file for p in partitions)
        self._log.info("assigned %s", names, extra={"fields": {"partitions": len(partitions)}})

    def _publish(self, totals: Sequence[Total]) -> None:
        outgoing = messages(totals)
        partners = pa.array([message.partner_id for message in outgoing], pa.string())
        partitions = partitions_of_keys(partners, self._topics.totals_partitions).tolist()
        for message, partition in zip(outgoing, partitions, strict=True):
            produce(
                self._producer,
                self._topics.totals,
                message.value,
                key=message.key,
                partition=partition,
                on_delivery=self._delivered,
            )
            self._producer.poll(0)
        metrics.TOTALS.inc(len(outgoing))

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._undelivered.append(error.str())

    def _halted(self, partition: Partition, halted: Halted) -> None:
        self._log.error(str(halted), extra={"fields": {"reason": halted.reason, "partition": partition.file}})

    def _show_partitions(self) -> None:
        """Set the gauges of halts and lag.

        Gauges of lost partitions are removed, so that two workers never report one lag.
        """
        halted = Counter(each.reason for each in self._kafka.halted.values())
        for reason in Halt:
            metrics.HALTED.labels(reason).set(halted[reason])
        for gone in self._shown - self._kafka.assigned:
            metrics.LAG.remove(gone.source, gone.generation)
            self._shown.remove(gone)
        ends = self._kafka.ends()
        for partition, offset in self._land.offsets.items():
            if (end := ends.get(partition)) is not None:
                metrics.LAG.labels(partition.source, partition.generation).set(max(0, end - offset))
                self._shown.add(partition)

    def _report(self, landed: Landed, seconds: float) -> None:
        counts = landed.counts
        metrics.COUNTED.inc(counts.counted)
        metrics.DUPLICATES.inc(counts.duplicates)
        metrics.CONFLICTS.inc(counts.conflicts)
        for mark, events in landed.outside.items():
            metrics.OUTSIDE.labels(mark).inc(events)
        metrics.REFUSED.inc(counts.refused)
        self._unknown.add(landed.unknown)
        metrics.REDELIVERED.inc(landed.redelivered)
        metrics.IDENTITIES.set(landed.open_identities)
        metrics.COMMITS.observe(seconds)
        fields = {
            **counts._asdict(),
            "outside": sum(landed.outside.values()),
            "redelivered": landed.redelivered,
            "version": landed.version,
            "seconds": round(seconds, 3),
        }
        self._log.info("landed", extra={"fields": fields})


def run(worker: LandWorker, log: logging.Logger, options: loop.WorkerOptions) -> int:
    """Run until SIGTERM. Returns the exit code."""
    pa.set_cpu_count(1)
    return loop.left(loop.run(log, options, worker.step, end=lambda: worker.end(options.drain_s), wrong=worker.wrong))
