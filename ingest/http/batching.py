"""Batches of waiting requests, judged together on a thread of their own, so that the event loop is never blocked.

There is no delay: the requests that arrive during one batch form the next, one at a time from each producer in
rotation.
"""

import asyncio
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from ingest.http.bodies import BodyShape, MalformedBody, event_of, lines_of
from ingest.http.verdicts import RequestLines, Verdict, judge
from ingest.kafka.records import SourceDecoder

BATCH_BYTES = 4 << 20
# The exceptions of a decoder bug that affect one request. Everything else (memory, disk) ends the process.
_BUGS = (
    duckdb.Error, pa.ArrowException, ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


class DecoderFailed(Exception):
    """The decoder failed on this request alone, which is a bug. Nothing of it was taken."""


class IngestRequest(NamedTuple):
    """A request as received, unpacked."""

    producer: str
    source: str
    format: str
    shape: BodyShape
    body: bytes
    received_us: int
    has_key: bool
    attributes: Mapping[str, str] | None = None  # of an event in binary mode; `body` is then its data


Outcome = Verdict | MalformedBody | DecoderFailed


class _QueuedRequest(NamedTuple):
    work: IngestRequest
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Outcome]"


class Batcher:
    """Owns the thread and all decoders.

    `source_decoder(format, source)` returns the decoder, and the same one for equal rules.
    """

    def __init__(
        self, source_decoder: Callable[[str, str], SourceDecoder], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._decoder_of = source_decoder
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[_QueuedRequest]] = OrderedDict()
        self._ended = False
        self._busy_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    async def judged(self, work: IngestRequest) -> Verdict:
        """The verdict on a request. Raises MalformedBody, DecoderFailed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        with self._changed:
            self._waiting.setdefault(work.producer, deque()).append(_QueuedRequest(work, loop, future))
            self._changed.notify()
        outcome = await future
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def busy_s(self) -> float:
        """How long the current batch has taken so far; 0 if there is none."""
        since = self._busy_since_s
        return 0.0 if since is None else self._clock() - since

    def check(self) -> None:
        """Raises RuntimeError if the thread has died: waiting requests would wait for ever."""
        if not self._thread.is_alive() and not self._ended:
            raise RuntimeError("the thread that decodes has ended")

    def close(self) -> None:
        """Stop after all waiting requests have been judged."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._busy_since_s = self._clock()
            for waiting, outcome in zip(batch, self._outcomes([w.work for w in batch]), strict=True):
                waiting.loop.call_soon_threadsafe(_set_outcome, waiting.future, outcome)
            self._busy_since_s = None

    def _next(self) -> list[_QueuedRequest]:
        """A batch of waiting requests, in rotation over producers; empty after close."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            batch: list[_QueuedRequest] = []
            size = 0
            while self._waiting and size < BATCH_BYTES:
                producer, queue = self._waiting.popitem(last=False)
                batch.append(queue.popleft())
                size += len(batch[-1].work.body)
                if queue:
                    self._waiting[producer] = queue
            return batch

    def _outcomes(self, requests_in: Sequence[IngestRequest]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(requests_in)
        groups: dict[int, tuple[SourceDecoder, list[int], list[RequestLines]]] = {}
        for i, work in enumerate(requests_in):
            try:
                lines = _request_lines(work)
            except MalformedBody as exc:
                outcomes[i] = exc
                continue
            except _BUGS as exc:
                outcomes[i] = DecoderFailed(_described(exc))
                continue
            source_decoder = self._decoder_of(work.format, work.source)
            _, rows, requests = groups.setdefault(id(source_decoder), (source_decoder, [], []))
            rows.append(i)
            requests.append(lines)
        for source_decoder, rows, requests in groups.values():
            for i, verdict in zip(rows, _verdicts(source_decoder, requests), strict=True):
                outcomes[i] = verdict
        assert None not in outcomes
        return [o for o in outcomes if o is not None]


def _request_lines(work: IngestRequest) -> RequestLines:
    body = work.body if work.attributes is None else event_of(work.attributes, work.body)
    return RequestLines(lines_of(body, work.shape), work.received_us, work.has_key)


def _verdicts(source_decoder: SourceDecoder, requests: Sequence[RequestLines]) -> list[Outcome]:
    """Judge requests together; if that fails, each by itself, so that only the faulty request fails."""
    try:
        return list(judge(requests, source_decoder.decoder, source_decoder.max_age_us, source_decoder.max_future_us))
    except _BUGS as exc:
        if len(requests) == 1:
            return [DecoderFailed(_described(exc))]
        return [outcome for lines in requests for outcome in _verdicts(source_decoder, [lines])]


def _described(exc: Exception) -> str:
    """The kind and place of a bug, for the log. Its message may contain text of the sender."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{type(exc).__name__} in {frame.name}, line {frame.lineno}"


def _set_outcome(future: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not future.done():  # the request may have been cancelled
        future.set_result(outcome)
