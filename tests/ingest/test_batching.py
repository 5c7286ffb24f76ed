"""Requests judged together: each producer in turn, each sender answered, nobody harmed by another's bytes."""

import asyncio
import threading

import duckdb
import pytest

from ingest.decode.framing import Lines
from ingest.decode.pipeline import Decoded, Decoder, SourceRules
from ingest.http.batching import Batcher, DecoderFailed, IngestRequest
from ingest.http.bodies import BodyShape, MalformedBody
from ingest.kafka.records import SourceDecoder
from tests.ingest.fixtures import OWNERS, T0_MS, kong, line

DAY_US = 86_400_000_000


def work(producer: str, body: bytes, shape: BodyShape = BodyShape.LINES) -> IngestRequest:
    return IngestRequest(producer, producer, "kong", shape, body, T0_MS * 1000, False)


class Slow:
    """A real decoder that waits for the first batch to be let go, and remembers what it was given."""

    def __init__(self) -> None:
        self._decoder = Decoder("kong", SourceRules(""), OWNERS)
        self.begun, self.go = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def batcher(self) -> Batcher:
        reading = SourceDecoder(self, 35 * DAY_US, DAY_US)  # type: ignore[arg-type]
        return Batcher(lambda *_: reading)

    def decode(self, framed: Lines, generation: str, limits: object) -> Decoded:
        self.batches.append([text.as_py().strip() for text in framed.lines["line"]])
        self.begun.set()
        assert self.go.wait(30)
        if any("poison" in text for text in self.batches[-1]):
            raise duckdb.InvalidInputException("a bug")
        return self._decoder.decode(framed, generation, limits)  # type: ignore[arg-type]


def test_what_waits_is_judged_together_and_in_turn() -> None:
    """S22: a producer with a thousand waiting requests delays another's request by one of its own, not by a thousand."""
    slow = Slow()
    batcher = slow.batcher()

    async def go() -> None:
        first = asyncio.ensure_future(batcher.judged(work("loud", b"0\n")))
        await asyncio.to_thread(slow.begun.wait, 30)
        big = b"x" * (2 << 20)
        loud = [asyncio.ensure_future(batcher.judged(work("loud", b"%d %b\n" % (i, big)))) for i in range(1, 6)]
        quiet = asyncio.ensure_future(batcher.judged(work("quiet", line(kong("q")))))
        await asyncio.sleep(0)
        slow.go.set()
        assert (await quiet).accepted == 1
        await asyncio.gather(first, *loud)

    asyncio.run(go())
    batcher.close()
    assert [[text[:1] for text in batch] for batch in slow.batches] == [["0"], ["1", "{", "2"], ["3", "4"], ["5"]]


def test_a_request_that_the_decoder_fails_on_fails_alone() -> None:
    """F33: the other requests of the batch are judged again without it."""
    slow = Slow()
    slow.go.set()
    batcher = slow.batcher()

    async def go() -> list[object]:
        bodies = [line(kong("a")), b"poison\n", line(kong("b")), b"[broken"]
        works = [work("p", body) for body in bodies[:3]] + [work("p", bodies[3], BodyShape.EVENTS)]
        return list(await asyncio.gather(*(batcher.judged(w) for w in works), return_exceptions=True))

    a, poison, b, broken = asyncio.run(go())
    batcher.close()
    assert (a.accepted, b.accepted) == (1, 1)  # type: ignore[attr-defined]
    assert isinstance(poison, DecoderFailed)
    assert isinstance(broken, MalformedBody)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_decode_thread_that_dies_is_seen() -> None:
    """Waiting requests would wait for ever: the process must end and be restarted."""

    def unknown(*_: str) -> SourceDecoder:
        raise KeyError("a bug")

    batcher = Batcher(unknown)

    async def go() -> None:
        waiting = asyncio.ensure_future(batcher.judged(work("p", b"x\n")))
        await asyncio.to_thread(batcher._thread.join, 30)
        waiting.cancel()

    asyncio.run(go())
    with pytest.raises(RuntimeError, match="decodes has ended"):
        batcher.check()
