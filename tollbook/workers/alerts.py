"""The lease on alerts: of all quota workers of a lake, one feeds the topic, watches the lake and publishes decisions.

The lease is a lock of the lake. It ends with the process that holds it, and another worker takes it over. The feed
continues behind the positions in the topic, and the watch compares with the ledger, so nothing is sent twice.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from confluent_kafka import Consumer, Producer

from aggregate.alerts import feed
from aggregate.quota import grants
from lake import lock
from lake.lake import Lake
from schemas.alerts import Kind, State
from schemas.catalog.records import Catalog
from schemas.tables import EVENTS
from tollbook.alerting import evaluation
from tollbook.kafka.options import KafkaConfig
from tollbook.workers import metrics

LEASE = ".alerts.lock"
_TRY_S = 0.5  # between two attempts to take the lease
_POLL_S = 0.05  # between two looks for a commit of another process
_WATCH_S = 0.5  # between two looks for new events
_IDLE_S = 60.0  # between two evaluations while nothing comes
_WATCH_SHARE = 10  # the watch rests ten times as long as an evaluation took, so it never uses a core


class Publisher(Protocol):
    """Publishes decisions about credentials (tollbook.deciding.publisher)."""

    def run(self, wait: Callable[[float], bool]) -> None:
        """Publish until `wait` returns True. It waits for the given seconds."""


class Alerts:
    """Feeds and watches while it has the lease. `run` is for a thread; a failure of the watch is raised there, too."""

    def __init__(
        self,
        lake: Lake,
        catalog: Catalog,
        kafka: KafkaConfig,
        topic: str,
        partitions: int,
        *,
        states: Callable[[], Publisher],
        log: logging.Logger,
        clock: Callable[[], datetime],
        stop: threading.Event,
    ) -> None:
        self._lake = lake
        self._catalog = catalog
        self._kafka = kafka
        self._topic = topic
        self._partitions = partitions
        self._states = states
        self._log = log
        self._clock = clock
        self._stop = stop
        self._wake = threading.Event()
        self._untimed = threading.Event()  # there is an alert without its time, which the watch adds
        self._resigned = threading.Event()

    def wake(self) -> None:
        """Look for new statements at once."""
        self._wake.set()

    def run(self) -> None:
        """Take the lease when it is free, and hold it until stopped."""
        while not self._stop.is_set():
            try:
                with self._lake.lock(LEASE):
                    self._log.info("took the lease on alerts")
                    self._lead()
            except lock.Taken:
                self._stop.wait(_TRY_S)

    def _lead(self) -> None:
        self._stop.wait(_TRY_S)  # the broker may still be writing what the last holder sent as it died
        threads = [threading.Thread(target=run, daemon=True) for run in (self._watch, self._publish)]
        self._resigned.clear()
        try:
            fed = self._feed()
            for thread in threads:
                thread.start()
            while not self._stop.is_set():
                self._wake.clear()
                if not self._sent(fed):
                    self._wake.wait(_POLL_S)
            while self._sent(fed):
                pass  # what was recorded before the end
        finally:
            self._resigned.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()

    def _publish(self) -> None:
        """Publish the decisions about credentials."""
        self._states().run(self._resigned.wait)

    def _feed(self) -> feed.Feed:
        consumer = Consumer(
            {**self._kafka.consumer_options("tollbook-alerts-feed", protocol="classic"), "log_level": 0}
        )
        try:
            sent = feed.sent(consumer, self._topic, self._partitions)
        finally:
            consumer.close()
        producer = Producer(self._kafka.producer_options(linger_ms=0), logger=logging.getLogger("kafka"))
        return feed.Feed(self._lake, producer, self._topic, sent, partitions=self._partitions)

    def _sent(self, fed: feed.Feed) -> bool:
        """Feed one commit; whether there may be more."""
        before = fed.version
        for statement in fed.step():
            metrics.ALERTS.labels(statement.alert.kind if statement.state is State.FIRED else statement.state).inc()
            if statement.holds and statement.alert.kind is Kind.QUOTA and statement.alert.at is None:
                self._untimed.set()
        return fed.version != before

    def _watch(self) -> None:
        """Evaluate all detectors when events have come, a grant was recorded, began or ended, or an alert has no time.

        While nothing comes, sources may fall behind, so they are evaluated once in _IDLE_S.
        """
        seen, evaluated, granted = -1, time.monotonic(), grants.Watch(self._lake)
        while not (self._stop.is_set() or self._resigned.is_set()):
            newest = self._lake.consistent_cut()[EVENTS.name]
            begun = time.monotonic()
            asked = self._untimed.is_set() or granted.moved(self._clock())
            if asked or newest != seen or begun >= evaluated + _IDLE_S:
                self._untimed.clear()
                if evaluation.alert(self._lake, self._catalog, now=self._clock(), follows=True):
                    self.wake()
                seen, evaluated = newest, begun
            self._resigned.wait(max(_WATCH_S, _WATCH_SHARE * (time.monotonic() - begun)))
