"""`tollbook quota` as a process: `usage.totals` to `usage.alerts` and `quota.state` by Faust, and alerts to webhooks.

Faust's loop runs in the main thread, in steps, so that this process ends, is watched and says so like the other workers. Each
webhook has a thread. A second view of the group's lag, through another client, tells a stalled worker from an idle one.
"""

import asyncio
import contextlib
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import faust
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, KafkaException, TopicPartition
from cyclopts import Parameter
from faust.auth import Credentials
from faust.exceptions import FaustError

from aggregate.quota.app import Quota, QuotaSettings, changelogs
from aggregate.quota.rule import Alert
from aggregate.webhooks.delivery import Answer, Courier
from aggregate.webhooks.endpoints import BadEndpoints, Endpoint, endpoints
from schemas.halts import Halt, Halted
from schemas.kafka import topics
from tollbook.cli.errors import WrongUse
from tollbook.cli.kafka.pipeline import InstanceOption, MetricsOption, SessionOption, WatchdogOption
from tollbook.cli.kafka.topics import required
from tollbook.cli.options import the_time
from tollbook.kafka.options import KafkaConfig
from tollbook.workers import logs, loop, metrics

STEP_S = 0.5
LOOK_S = 5.0
_ANSWER_S = 10
_REST_S = 2  # for all couriers to leave; one that waits for an answer is left
_COMPLAINT_S = 10
_COMPLAINT_CHARACTERS = 24  # enough to know it again, though it names a number further on


def quota(
    *,
    kafka: KafkaConfig,
    webhooks: Annotated[
        Path | None,
        Parameter(
            "--webhooks", env_var="TOLLBOOK_WEBHOOKS", help="YAML file of the endpoints that alerts are posted to."
        ),
    ] = None,
    instance: InstanceOption = None,
    session_timeout_ms: SessionOption = 10_000,
    metrics: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Watch usage.totals, alert when quotas are reached, tell gateways who is over. Runs until SIGTERM.

    Kill it at any moment: alerts that it sends again have the same id.

    Example: tollbook quota --bootstrap-servers 127.0.0.1:9092 --webhooks webhooks.yaml
    """
    try:
        receivers = endpoints(webhooks, os.environ) if webhooks else []
    except BadEndpoints as exc:
        raise WrongUse(f"webhooks: {exc}") from exc
    options = loop.Options(metrics=metrics, watchdog_s=watchdog_s)
    settings = settings_for(kafka, instance=instance, session_timeout_s=session_timeout_ms / 1000)
    return run_quota(kafka, settings, receivers, options)


def settings_for(kafka: KafkaConfig, *, instance: str | None = None, session_timeout_s: float = 10) -> QuotaSettings:
    """What the worker needs, when all its topics are there. Raises KafkaRefused or Halted when they are not as they must be."""
    app_id = topics.quota_app(kafka.prefix)
    names = [topics.USAGE_TOTALS, topics.USAGE_ALERTS, topics.QUOTA_STATE, *changelogs(topics.QUOTA_APP)]
    found = required(kafka, *names)
    totals, alerts, state, *faust_topics, _ = found
    for table in (state, *faust_topics):
        if table.partitions != totals.partitions:
            raise Halted(
                Halt.BAD_TOPIC,
                f"{table.name} has {table.partitions} partitions and {totals.name} has {totals.partitions}: they must be as many; "
                f"`tollbook topics check` says what to do",
            )
    return QuotaSettings(
        app_id=app_id,
        brokers=kafka.bootstrap_servers,
        totals=totals.name,
        alerts=alerts.name,
        state=state.name,
        partitions=totals.partitions,
        credentials=credentials(kafka),
        instance=instance and kafka.prefix + instance,
        session_timeout_s=session_timeout_s,
    )


def credentials(kafka: KafkaConfig) -> Credentials | None:
    """How Faust logs in: the same options, for another client."""
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


def run_quota(kafka: KafkaConfig, settings: QuotaSettings, receivers: Sequence[Endpoint], options: loop.Options) -> int:
    """Until SIGTERM; the exit code. A failure ends the process here: what Faust still holds must not be acknowledged."""
    log = logs.logger("quota")
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    stop = threading.Event()
    couriers = [
        Courier(
            receiver,
            Consumer(
                kafka.consumer_options(f"tollbook-webhook-{receiver.name}", protocol="classic"),
                logger=logging.getLogger("kafka"),
            ),
            settings.alerts,
            log=log,
            clock=lambda: the_time(None),
            stop=stop,
            on_attempt=_count_attempt,
        )
        for receiver in receivers
    ]
    reader = Consumer({**kafka.consumer_options(topics.QUOTA_APP, protocol="classic"), "log_level": 0})
    lag = Lag(reader, settings.totals, settings.partitions)
    process = Process(settings, lag, couriers, stop, limit_s=options.watchdog_s)
    code = loop.run(log, options, process.step, end=lambda: process.end(options.drain_s), wrong=process.wrong)
    if code:
        logging.shutdown()
        os._exit(code)
    return code


class Process:
    """Faust and the couriers, run in steps. Drop it after any exception."""

    def __init__(
        self, settings: QuotaSettings, lag: "Lag", couriers: Sequence[Courier], stop: threading.Event, *, limit_s: float
    ) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._quota = Quota(settings, on_alert=_count)
        self._lag = lag
        self._couriers = couriers
        self._stop = stop
        self._limit_s = limit_s
        self._starting: asyncio.Task[None] | None = None
        self._threads: list[threading.Thread] = []  # of couriers
        self._failures: list[BaseException] = []  # of any thread

    def step(self) -> None:
        """Let Faust work for a moment. Raises what has gone wrong anywhere."""
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
                f"{self._lag.behind} totals wait, and none was taken for {self._lag.stalled_s:.0f} s; start again",
            )

    def wrong(self) -> list[str]:
        """What makes this process unhealthy."""
        silent_s = self._lag.stalled_s
        return [f"{self._lag.behind} totals wait for {silent_s:.0f} s"] if silent_s > self._limit_s / 2 else []

    def end(self, drain_s: float) -> None:
        """Commit what is done and leave the group; whatever takes longer than `drain_s` is left as it is."""
        self._stop.set()
        self._loop.run_until_complete(asyncio.wait([self._loop.create_task(self._quota.app.stop())], timeout=drain_s))
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
        for courier in self._couriers:
            thread = threading.Thread(target=courier.run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _died(self, what: threading.ExceptHookArgs) -> None:
        if what.exc_value is not None:
            self._failures.append(what.exc_value)


class Lag:
    """How long totals have been waiting while none was taken, seen by a client of its own: what Faust says of itself may hang, too.

    mine: the partitions that count; without any, all do. For a thread of its own, but for `stalled_s` and `behind`.
    """

    def __init__(
        self, consumer: Consumer, topic: str, partitions: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._consumer = consumer
        self._asked = [TopicPartition(topic, p) for p in range(partitions)]
        self._clock = clock
        self._waiting: Mapping[int, Waiting] = {}
        self.mine: frozenset[int] = frozenset()

    def run(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            time.sleep(LOOK_S)

    def look(self) -> None:
        """Compare what is committed with what there is. Where nobody answers there is nothing to say, and the time begins anew."""
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
                waiting[where.partition] = Waiting(at, high - at, since)
        self._waiting = waiting

    @property
    def behind(self) -> int:
        """Messages that wait."""
        return sum(w.messages for w in self._counted())

    @property
    def stalled_s(self) -> float:
        """How long the partition that waits longest has stood still."""
        return max((self._clock() - w.since for w in self._counted()), default=0.0)

    def _counted(self) -> list["Waiting"]:
        waiting, mine = self._waiting, self.mine
        return [w for p, w in waiting.items() if not mine or p in mine]


class Waiting(NamedTuple):
    """A partition that is behind: the offset it is at, how many messages, and since when it stands there."""

    at: int
    messages: int
    since: float


class Seldom(logging.Filter):
    """Lets each complaint of a library pass once in ten seconds: while a broker is away, they come by the hundred."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged."""
        key = (record.name, str(record.msg)[:_COMPLAINT_CHARACTERS])
        if record.name.startswith("tollbook") or record.created - self._passed.get(key, 0) >= _COMPLAINT_S:
            self._passed[key] = record.created
            return True
        return False


def _decision(failure: BaseException) -> BaseException:
    """What a failure means to a supervisor: Kafka's troubles may pass, all else is told as it is."""
    if isinstance(failure, (KafkaError, FaustError)):
        return Halted(Halt.KAFKA, f"{failure!r}; start again")
    return failure


def _count(alert: Alert) -> None:
    metrics.ALERTS.labels(alert.kind).inc()


def _count_attempt(webhook: str, answer: Answer) -> None:
    metrics.WEBHOOKS.labels(webhook, answer.name.lower()).inc()
