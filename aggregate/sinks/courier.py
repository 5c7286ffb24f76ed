"""Delivers the alerts of topic `usage.alerts`: a consumer per sink sends each alert until it is delivered.

It is not a Faust agent, which would treat a failed alert as done, and let one slow receiver delay all. Here, each sink
has its own group, whose offset is committed after delivery: at least once, always with the id of the alert. A sink that
responds with 410 gets nothing until the next start; its alerts wait.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from aggregate.sinks import notices
from aggregate.sinks.ends import Ends
from aggregate.sinks.notices import Notice
from aggregate.sinks.retries import Backoff, repeated
from aggregate.sinks.sink import Answer, Outcome, Sink, view
from schemas.halts import Halt, Halted

_POLL_S = 0.5
_ENDS_S = 30.0  # a look for ends, within which nothing is polled
_TIMEOUT_KAFKA_S = 30


class Courier:
    """Delivers to one sink until it is stopped. It owns its consumer, and runs in one thread."""

    def __init__(
        self,
        sink: Sink,
        consumer: Consumer,
        topic: str,
        *,
        log: logging.Logger,
        clock: Callable[[], datetime],
        stop: threading.Event,
        backoff: Backoff = Backoff(),  # noqa: B008  # a constant
        on_attempt: Callable[[str, Answer], None] = lambda _, __: None,
        holding: Callable[[], Sequence[Notice]] = tuple,
        ends: Ends | None = None,
    ) -> None:
        """`on_attempt` receives the sink's name and the outcome of each attempt.

        holding: the notices of all alerts that hold, for sinks that must be told again. ends: for sinks that must be
        told of ends.
        """
        self._sink = sink
        self._consumer = consumer
        self._topic = topic
        self._log = log
        self._clock = clock
        self._stop = stop
        self._backoff = backoff
        self._on_attempt = on_attempt
        self._holding = holding
        self._ends = ends
        self._refreshed_s = float("-inf")  # by the monotonic clock
        self._mine: set[int] = set()
        self._resting = False

    def run(self) -> None:
        """Run until `stop` is set, or the sink responds with 410.

        Raises Halted for causes that somebody must fix.
        """
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        try:
            while not self._stop.is_set():
                self._refresh()
                message = self._consumer.poll(_POLL_S)
                if message is None:
                    self._look_for_ends()
                elif not self._done_with(message):
                    break
        finally:
            self._consumer.close()

    def _done_with(self, message: Message) -> bool:
        """Deliver the alert of a message, and commit. False: stop delivering."""
        if (error := message.error()) is not None:
            if error.code() == KafkaError._AUTO_OFFSET_RESET:  # the library's public name for it
                raise Halted(
                    Halt.RETENTION_GAP, f"webhook {self._sink.name}: alerts were deleted undelivered: {error.str()}"
                )
            raise KafkaException(error)
        notice = view(self._sink, notice_of(message))
        if notice is not None:
            answer = self._delivered(notice, int(message.partition() or 0))
            if answer is Answer.DISABLED:
                self._log_attempt(logging.ERROR, "answered 410 and gets no more until the next start", notice)
                return False
            if answer is Answer.AGAIN:
                return True  # stopped, or the partition is another's now: not committed
        self._commit(message)
        return True

    def _delivered(self, notice: Notice, partition: int) -> Answer:
        return repeated(
            lambda: self._attempt(notice),
            self._backoff,
            rest=lambda seconds: self._rest(seconds, partition),
            goes_on=lambda: self._goes_on(partition),
            report=lambda last, number, wait_s: self._log_attempt(
                logging.WARNING, last.reason, notice, attempt=number, again_in_s=wait_s
            ),
        )

    def _attempt(self, notice: Notice) -> Outcome:
        outcome = self._sink.send(notice, self._clock())
        self._on_attempt(self._sink.name, outcome.answer)
        if outcome.answer is Answer.DELIVERED:
            self._log_attempt(logging.INFO, "delivered", notice)
        return outcome

    def _refresh(self) -> None:
        """Tell a sink that forgets what holds, before it forgets it. A failure is tried again when it is next due."""
        every_s = self._sink.refresh_s
        if every_s is None or time.monotonic() - self._refreshed_s < every_s:
            return
        views = (self._sink.route.view(notice) for notice in self._holding())
        outcome = self._sink.refresh([each for each in views if each is not None], self._clock())
        self._refreshed_s = time.monotonic()
        if outcome.answer is not Answer.DELIVERED:
            self._log.warning("webhook %s: not refreshed: %s", self._sink.name, outcome.reason)

    def _look_for_ends(self) -> None:
        """Tell of ends, unless alerts wait: an incident that is resolved before it is triggered would stay open."""
        if self._ends is None or not self._ends.is_due or not self._has_sent_all():
            return
        until_s = time.monotonic() + _ENDS_S
        outcome = self._ends.look_if_due(lambda: not self._stop.is_set() and time.monotonic() < until_s)
        if outcome.answer is not Answer.DELIVERED:
            self._log.warning("webhook %s: not told of all ends: %s", self._sink.name, outcome.reason)

    def _has_sent_all(self) -> bool:
        """Whether this courier has partitions, and has delivered all alerts in them."""
        mine = [TopicPartition(self._topic, number) for number in self._mine]
        for where in self._consumer.committed(mine, timeout=_TIMEOUT_KAFKA_S) if mine else ():
            low, high = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_KAFKA_S)
            if max(where.offset, low) < high:
                return False
        return bool(mine)

    def _rest(self, seconds: float, partition: int) -> None:
        """Wait while staying a member of the group. Ends early when stopped or when the partition is lost."""
        self._resting = True
        self._consumer.pause(self._consumer.assignment())
        left_s = seconds
        while left_s > 0 and self._goes_on(partition):
            message = self._consumer.poll(min(left_s, _POLL_S))
            assert message is None or message.error() is not None, "nothing comes from what is paused"
            left_s -= _POLL_S
        self._resting = False
        self._consumer.resume(self._consumer.assignment())

    def _goes_on(self, partition: int) -> bool:
        return not self._stop.is_set() and partition in self._mine

    def _commit(self, message: Message) -> None:
        try:
            self._consumer.commit(message=message, asynchronous=False)
        except KafkaException as exc:
            if message.partition() in self._mine:
                raise
            self._log.warning(
                "webhook %s: delivered, and the partition went to another meanwhile: %s", self._sink.name, exc
            )

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Continue after the delivered alerts. A new sink begins with the oldest alert."""
        begin = consumer.committed(list(partitions), timeout=_TIMEOUT_KAFKA_S)
        for where in begin:
            if where.offset < 0:
                where.offset = consumer.get_watermark_offsets(where, timeout=_TIMEOUT_KAFKA_S)[0]
        consumer.incremental_assign(begin)
        self._mine |= {p.partition for p in partitions}
        if self._resting:
            consumer.pause(list(partitions))

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._mine -= {p.partition for p in partitions}
        consumer.incremental_unassign(list(partitions))

    def _log_attempt(self, level: int, what: str, notice: Notice, **fields: Any) -> None:
        fields = {"webhook": self._sink.name, "alert": notice.statement_id, **fields}
        self._log.log(level, "webhook %s: %s", self._sink.name, what, extra={"fields": fields})


def notice_of(message: Message) -> Notice:
    """The alert of a message. Raises Halted for one that is none: it is not passed over."""
    try:
        return notices.notice(message.value() or b"")
    except notices.BadNotice as exc:
        where = f"{message.topic()}/{message.partition()} at offset {message.offset()}"
        raise Halted(Halt.BAD_MESSAGE, f"{where} is not an alert: {exc}") from exc
