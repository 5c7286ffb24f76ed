"""Publishes the decision about each credential in the compacted topic `quota.state`, as soon as it changes.

The records are those that `tollbook decide` answers by. A reader that has no record of a credential does not know it.
In each partition, the record with the key `as_of` says up to when all others are current. It comes every few seconds,
so a reader can tell a state that stands still from a publisher that has died.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

from aggregate.decisions.messages import SCHEMA
from aggregate.decisions.rule import DecisionPolicy
from ingest.kafka.sending import produce
from lake.lake import Lake
from schemas.halts import Halt, Halted
from schemas.kafka.partitions import partition_of_key
from tollbook.deciding.follower import POLL_S, Follower
from tollbook.deciding.states import States

AS_OF = "as_of"
_AS_OF_EVERY = timedelta(seconds=5)


class StatePublisher:
    """Follows the lake and the catalog, and publishes. For one thread; drop it after any exception."""

    def __init__(
        self,
        lake: Lake,
        catalog: Path,
        producer: Producer,
        topic: str,
        partitions: int,
        *,
        clock: Callable[[], datetime],
        log: logging.Logger,
    ) -> None:
        self._follower = Follower(lake, catalog, clock=clock, log=log)
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._clock = clock
        self._states = States(DecisionPolicy())
        self._shown: datetime | None = None
        self._undelivered: list[str] = []

    def run(self, wait: Callable[[float], bool]) -> None:
        """Publish until `wait` returns True. It waits for the given seconds."""
        while True:
            self._follower.step()
            self.step()
            if wait(POLL_S):
                self._producer.flush(POLL_S)
                return

    def step(self) -> None:
        """Publish what changed. While the lake cannot be read, nothing is published."""
        if self._follower.problem is not None:
            return
        view, now = self._follower.view, self._clock()
        for state in self._states.changed(view, now):
            value = None if state.value is None else json.dumps(state.value).encode()
            partition = partition_of_key(state.partner_id, self._partitions)
            self._send(state.key, value, partition)
        if self._shown is None or now - self._shown >= _AS_OF_EVERY:
            self._shown = now
            fields = {
                "schema": SCHEMA,
                "as_of": view.as_of.astimezone(UTC).isoformat(),
                "events_version": view.events_version,
            }
            for partition in range(self._partitions):
                self._send(AS_OF, json.dumps(fields).encode(), partition)
        self._producer.poll(0)
        if self._undelivered:
            raise Halted(Halt.UNDELIVERED, f"{self._undelivered[0]}; restart the worker: it publishes all states again")

    def _send(self, key: str, value: bytes | None, partition: int) -> None:
        produce(self._producer, self._topic, value, key=key, partition=partition, on_delivery=self._delivered)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._undelivered.append(error.str())
