"""The worker of `tollbook quota`: `usage.totals` to `usage.alerts` and `quota.state`, and alerts to webhooks.

Faust's event loop runs in the main thread in steps, so that this process stops, is watched and logs like the other
workers. Each webhook has a thread. A second client measures the group's lag, which distinguishes a stalled worker from
an idle one.
"""

import asyncio
import contextlib
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import faust
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.auth import Credentials
from faust.exceptions import FaustError

from aggregate.quota.app import QuotaSettings, QuotaWorker
from aggregate.sinks.courier import Courier
from aggregate.sinks.ends import Ends
from aggregate.sinks.outbox import FOLDER, holding
from aggregate.sinks.sink import Answer, Sink
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.halts import Halt, Halted
from schemas.kafka import topics
from tollbook.alerting.prompt import PromptLedger
from tollbook.kafka.options import KafkaConfig
from tollbook.workers import logs, loop, metrics
from tollbook.workers.alerts import Alerts, Publisher
from tollbook.workers.partner_metrics import PartnerMetrics

STEP_S = 0.5
LOOK_S = 5.0
_ANSWER_S = 10
_REST_S = 2  # for all couriers to end; one that waits for a response is abandoned
_COMPLAINT_S = 10
_COMPLAINT_CHARACTERS = 24  # enough to recognize a message, without the numbers that follow


def credentials(kafka: KafkaConfig) -> Credentials | None:
    """The credentials for Faust, from the same options."""
    options = kafka.client_options()
    authority = str(options.get("ssl.ca.pem", "")) or None
    tls = ssl.create_default_context(cadata=authority) if kafka.security.endswith("SSL") else None
    if kafka.security.startswith("SASL"):
        return faust.SASLCredentials(
            username=str(options["sasl.username"]),
            password=str(options["sasl.password"]),
            mechanism=str(options["sasl.mechanism"]),
            ssl_context=tls,
        )
    return faust.SSLCredentials(tls) if tls else None


def run_quota(
    kafka: KafkaConfig,
    settings: QuotaSettings,
    lake: Lake,
    catalog: Catalog,
    receivers: Sequence[Sink],
    options: loop.WorkerOptions,
    *,
    states: Callable[[], Publisher],
    clock: Callable[[], datetime],
    metrics_partners: int,
) -> int:
    """Run until SIGTERM. Returns exit code 0; a failure ends the process, so that Faust acknowledges nothing more.

    `states` makes what publishes decisions; `metrics_partners` is the number of partners with metrics of their own.
    """
    log = logs.logger("quota")
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    stop, ended = threading.Event(), threading.Event()
    lake.create()
    couriers = [
        Courier(
            receiver,
            Consumer(
                kafka.consumer_options(f"tollbook-webhook-{receiver.name}", protocol="classic"),
                logger=logging.getLogger("kafka"),
            ),
            settings.alerts,
            log=log,
            clock=clock,
            stop=stop,
            on_attempt=_count_attempt,
            holding=lambda: holding(lake),
            ends=Ends(lake, receiver, lake.root / FOLDER, clock=clock) if receiver.tells_ends else None,
        )
        for receiver in receivers
    ]
    reader = Consumer({**kafka.consumer_options(topics.QUOTA_APP, protocol="classic"), "log_level": 0})
    lag = Lag(reader, settings.totals, settings.partitions)
    alerts = Alerts(
        lake, catalog, kafka, settings.alerts, settings.partitions, states=states, log=log, clock=clock, stop=ended
    )
    partners = PartnerMetrics(lake, catalog, top=metrics_partners, clock=clock, stop=stop)
    recorded = PromptLedger(lake, on_commit=alerts.wake)
    process = Process(
        lambda: QuotaWorker(settings, recorded.record),
        lag,
        [alerts, partners, *couriers],
        (stop, ended),
        limit_s=options.watchdog_s,
    )
    code = loop.run(log, options, process.step, end=lambda: process.end(options.drain_s), wrong=process.wrong)
    if code:
        logging.shutdown()
        os._exit(code)
    return code


class Runs(Protocol):
    """What runs in a thread until it is stopped."""

    def run(self) -> None:
        """Run."""


class Process:
    """Faust, the feed of alerts and the webhook couriers, run in steps. Drop it after any exception."""

    def __init__(
        self,
        quota: Callable[[], QuotaWorker],
        lag: "Lag",
        others: Sequence[Runs],
        ends: tuple[threading.Event, threading.Event],
        *,
        limit_s: float,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._quota = quota()
        self._lag = lag
        self._others = others
        self._stop, self._ended = ends  # set when the process is to end, and when Faust has ended
        self._limit_s = limit_s
        self._starting: asyncio.Task[None] | None = None
        self._threads: list[threading.Thread] = []  # of the others
        self._failures: list[BaseException] = []  # of any thread

    def step(self) -> None:
        """Let Faust run for a moment. Raises the failure of any thread or task."""
        if self._starting is None:
            self._start()
        self._loop.run_until_complete(self._work())
        not_started = self._starting.exception() if self._starting and self._starting.done() else None
        for failure in (self._quota.failure, self._quota.app.crash_reason, not_started, *self._failures):
            if failure is not None:
                raise _decision(failure)
        self._lag.mine = self._quota.partitions
        metrics.QUOTA_LAG.set(self._lag.behind)
        if self._lag.stalled_s > self._limit_s:
            raise Halted(
                Halt.STALLED,
                f"{self._lag.behind} totals are waiting, and none was processed for {self._lag.stalled_s:.0f} s; restart the worker",
            )

    def wrong(self) -> list[str]:
        """The reasons why this process is unhealthy."""
        silent_s = self._lag.stalled_s
        return (
            [f"{self._lag.behind} totals have been waiting for {silent_s:.0f} s"]
            if silent_s > self._limit_s / 2
            else []
        )

    def end(self, drain_s: float) -> None:
        """Commit finished work and leave the group. Whatever takes longer than `drain_s` is abandoned."""
        self._stop.set()
        self._loop.run_until_complete(asyncio.wait([self._loop.create_task(self._quota.app.stop())], timeout=drain_s))
        self._ended.set()
        deadline = time.monotonic() + _REST_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    async def _work(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quota.failed.wait(), STEP_S)

    def _start(self) -> None:
        threading.excepthook = self._died
        self._starting = self._loop.create_task(self._quota.app.start())
        threading.Thread(target=self._lag.run, daemon=True).start()
        for other in self._others:
            thread = threading.Thread(target=other.run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _died(self, what: threading.ExceptHookArgs) -> None:
        if what.exc_value is not None:
            self._failures.append(what.exc_value)


class Lag:
    """Measures how long totals have been waiting unprocessed. It uses its own client, as Faust itself may hang.

    mine: the partitions to measure; if empty, all. `run` is for a thread; `stalled_s` and `behind` may be read from
    others.
    """

    def __init__(
        self, consumer: Consumer, topic: str, partitions: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._consumer = consumer
        self._asked = [TopicPartition(topic, p) for p in range(partitions)]
        self._clock = clock
        self._waiting: Mapping[int, WaitingPartition] = {}
        self.mine: frozenset[int] = frozenset()

    def run(self) -> None:
        """Measure forever, every LOOK_S."""
        while True:
            self.look()
            time.sleep(LOOK_S)

    def look(self) -> None:
        """Compare the committed offsets with the ends.

        If no broker answers, nothing counts as waiting, and times start over.
        """
        try:
            committed = self._consumer.committed(self._asked, timeout=_ANSWER_S)
            ends = [self._consumer.get_watermark_offsets(p, timeout=_ANSWER_S) for p in self._asked]
        except KafkaException:
            self._waiting = {}
            return
        now = self._clock()
        waiting = {}
        for where, (low, high) in zip(committed, ends, strict=True):
            at = max(where.offset, low)
            before = self._waiting.get(where.partition)
            if at < high:
                since = before.since if before is not None and before.at == at else now
                waiting[where.partition] = WaitingPartition(at, high - at, since)
        self._waiting = waiting

    @property
    def behind(self) -> int:
        """The number of waiting messages."""
        return sum(w.messages for w in self._counted())

    @property
    def stalled_s(self) -> float:
        """Seconds since the last progress of the partition that has waited longest."""
        return max((self._clock() - w.since for w in self._counted()), default=0.0)

    def _counted(self) -> list["WaitingPartition"]:
        waiting, mine = self._waiting, self.mine
        return [w for p, w in waiting.items() if not mine or p in mine]


class WaitingPartition(NamedTuple):
    """A partition with waiting messages: its offset, their number, and when it reached this offset."""

    at: int
    messages: int
    since: float


class Seldom(logging.Filter):
    """Logs each message of a library once in ten seconds. While a broker is unreachable, hundreds are repeated."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record."""
        key = (record.name, str(record.msg)[:_COMPLAINT_CHARACTERS])
        if record.name.startswith("tollbook") or record.created - self._passed.get(key, 0) >= _COMPLAINT_S:
            self._passed[key] = record.created
            return True
        return False


def _decision(failure: BaseException) -> BaseException:
    """The exception to raise for a failure. Kafka's failures become a halt that a restart may resolve."""
    if isinstance(failure, (KafkaError, FaustError)):
        return Halted(Halt.KAFKA, f"{failure!r}; restart the worker")
    return failure


def _count_attempt(webhook: str, answer: Answer) -> None:
    metrics.WEBHOOKS.labels(webhook, answer.name.lower()).inc()
