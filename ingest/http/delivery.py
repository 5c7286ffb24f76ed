"""Delivery to `gateway.access`: a request is accepted when the broker has confirmed all its records.

A record that was given up may still be in the topic. Its sender is told to retry; the events are deduplicated by id.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

LIMIT_S = 15.0  # for the delivery report; the producer's own timeout comes first
RECORD_BYTES = 1 << 20  # a quarter of the topic's limit, which leaves room for headers and framing


class NotDelivered(Exception):
    """The broker has not confirmed a request, which may be sent again."""


class RecordTooLarge(Exception):
    """The broker never accepts a record of this size."""


class OutgoingRecord(NamedTuple):
    """One record of raw lines."""

    value: bytes
    headers: Sequence[tuple[str, bytes]]


def records(text: bytes, *, format_name: str, source: str, key: str | None) -> list[OutgoingRecord]:
    """The lines of a request as records of about RECORD_BYTES, cut after lines. Blank records are left out.

    `key` names the request: an event without an id gets one from the key and the byte of the text at which its line
    began.
    """
    headers = [("format", format_name.encode()), ("source", source.encode())]
    request_header = [] if key is None else [("request", hashlib.sha256(key.encode()).hexdigest().encode())]
    outgoing, start = [], 0
    while start < len(text):
        end = len(text) if len(text) - start <= RECORD_BYTES else text.rfind(b"\n", start, start + RECORD_BYTES) + 1
        if end <= start:
            end = text.find(b"\n", start) + 1 or len(text)
        piece = text[start:end]
        if piece.strip():
            position = [("position", str(start).encode())] if request_header else []
            outgoing.append(OutgoingRecord(piece, [*headers, *request_header, *position]))
        start = end
    return outgoing


class Delivery:
    """Owns a producer and the thread that polls its delivery reports."""

    def __init__(self, producer: Producer, topic: str, partitions: int, *, limit_s: float = LIMIT_S) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._limit_s = limit_s
        self._turn = 0
        self._fatal: KafkaException | None = None
        self._ended = threading.Event()
        self.problem: str | None = None  # the last error, until a delivery succeeds
        self._thread = threading.Thread(target=self._listen, name="delivery", daemon=True)
        self._thread.start()

    async def send(self, outgoing: Sequence[OutgoingRecord]) -> None:
        """Return when the broker has confirmed all records. Raises NotDelivered, RecordTooLarge."""
        self._turn += 1
        partition = self._turn % self._partitions
        loop = asyncio.get_running_loop()
        reports: list[asyncio.Future[KafkaError | None]] = []
        for record in outgoing:
            report: asyncio.Future[KafkaError | None] = loop.create_future()
            try:
                self._producer.produce(
                    self._topic, record.value, partition=partition, headers=list(record.headers), on_delivery=_on_delivery(loop, report)
                )  # fmt: skip
            except (BufferError, KafkaException) as exc:
                self.problem = str(exc)
                error = exc.args[0] if isinstance(exc, KafkaException) else None
                if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise RecordTooLarge from exc
                raise NotDelivered from exc
            reports.append(report)
        try:
            async with asyncio.timeout(self._limit_s):
                errors = [error for error in await asyncio.gather(*reports) if error is not None]
        except TimeoutError as exc:
            self.problem = f"no report within {self._limit_s:g} s"
            raise NotDelivered from exc
        self.problem = errors[0].str() if errors else None
        if any(error.fatal() for error in errors):
            self._fatal = KafkaException(errors[0])
        if any(error.code() == KafkaError.MSG_SIZE_TOO_LARGE for error in errors):
            raise RecordTooLarge
        if errors:
            raise NotDelivered

    def check(self) -> None:
        """Raises KafkaException after a fatal error of the producer."""
        if self._fatal is not None:
            raise self._fatal

    def close(self, timeout_s: float) -> None:
        """Wait for the records in flight."""
        self._producer.flush(timeout_s)
        self._ended.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._ended.is_set():
            self._producer.poll(0.1)


def _on_delivery(loop: asyncio.AbstractEventLoop, report: "asyncio.Future[KafkaError | None]") -> Callable[[KafkaError | None, Message], None]:  # fmt: skip
    def settle(error: KafkaError | None) -> None:
        if not report.done():
            report.set_result(error)

    def report_back(error: KafkaError | None, _: Message) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error)

    return report_back
