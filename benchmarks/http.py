"""Events over HTTP until Kafka has confirmed them, the server on one core: `python -m benchmarks.http`.

Writes docs/results/http.md. Senders with connections that stay open post bodies made beforehand to `tollbook serve`
over a socket, before a real broker. The server is held on one core, broker and senders on the others. Beside it the
parts of the work are timed by themselves, without network: what of a core they take.
"""

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from backports import zstd

from benchmarks.kafka import _cpu_s
from benchmarks.machine import heading
from ingest.decode.framing import split_lines
from ingest.http.bodies import BodyShape, Unpacker, lines_of
from ingest.http.delivery import records
from ingest.http.verdicts import RequestLines, judge
from tests.ingest.fixtures import T0_MS, kong, line
from tests.kafka.broker import Broker
from tests.tollbook.serving import BATCH, EDGE, LINES, SINGLE, HttpServer, event, write_installation
from tollbook.workers import http_server

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs" / "results" / "http.md"
BODIES = 16
AIM = 50_000
_MONTH = "; the sample is the demonstration month, the same bytes every time"


class Case(NamedTuple):
    """What is sent: bodies, as what, by how many at once."""

    name: str
    kind: str
    query: str
    encoding: str
    bodies: Sequence[bytes]
    events: int  # in a body
    senders: int


class Measured(NamedTuple):
    case: Case
    requests: int
    wall_s: float
    cpu_s: float
    latencies_s: Sequence[float]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each row")
    args = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))
    mine = cores[1:] or cores
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder:
        site = Path(folder) / "site"
        write_installation(site)
        parts = _parts(site)
        os.sched_setaffinity(0, mine)  # the broker, the senders
        with Broker() as broker:
            server = HttpServer(broker.bootstrap, "", site)
            try:
                for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), cores[:1])
                os.sched_setaffinity(server.process.pid, cores[:1])
                measured = [_measured(server, case, args.seconds) for case in _cases()]
            finally:
                server.close()
    out = [
        heading("Events over HTTP, confirmed by Kafka", "python -m benchmarks.http " + " ".join(sys.argv[1:])).replace(_MONTH, ""), "",
        f"The server has one core, broker and senders have {len(mine)}. Every answer was 204. The aim is {AIM:,} events/s in batches of 1,000.",
        "Where less than the whole core was used, the broker, the senders or other work on the machine kept the server waiting.", "",
        *_table(measured), "", "## What a core is spent on", "", *parts,
    ]  # fmt: skip
    print("\n".join(out))
    RESULT.write_text("\n".join(out) + "\n")


def _cases() -> list[Case]:
    def batches(size: int) -> list[bytes]:
        return [json.dumps([_event(b * size + i) for i in range(size)]).encode() for b in range(BODIES)]

    thousand = batches(1000)
    kongs = [b"".join(line(kong(f"{b}-{i}")) for i in range(1000)) for b in range(BODIES)]
    return [
        Case("CloudEvents, batches of 1,000", BATCH, "", "identity", thousand, 1000, 8),
        Case("the same, gzip", BATCH, "", "gzip", [gzip.compress(b, 6) for b in thousand], 1000, 8),
        Case("the same, zstd", BATCH, "", "zstd", [zstd.compress(b) for b in thousand], 1000, 8),
        Case("the same, one sender", BATCH, "", "identity", thousand, 1000, 1),
        Case("Kong lines, 1,000", LINES, "?format=kong", "identity", kongs, 1000, 8),
        Case("CloudEvents, batches of 100", BATCH, "", "identity", batches(100), 100, 16),
        Case("CloudEvents, one by one", SINGLE, "", "identity", [json.dumps(_event(i)).encode() for i in range(BODIES)], 1, 64),
    ]  # fmt: skip


def _event(number: int) -> dict[str, object]:
    return event(f"7d4c1f0e-52b1-4a55-9f2e-{number:012x}")


def _measured(server: HttpServer, case: Case, seconds: float) -> Measured:
    for _ in range(3):
        assert server.post(case.bodies[0], case.kind, query=case.query, headers={"Content-Encoding": case.encoding}).status_code == 204  # fmt: skip
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[list[float]] = context.Queue()
    cpu, began = _cpu_s(server.process.pid), time.monotonic()
    senders = [
        context.Process(target=_send, args=(server.port, case, n, seconds, results)) for n in range(case.senders)
    ]
    for sender in senders:
        sender.start()
    latencies = [latency for _ in senders for latency in results.get(timeout=seconds + 60)]
    wall, cpu = time.monotonic() - began, _cpu_s(server.process.pid) - cpu
    for sender in senders:
        sender.join()
    print(f"{case.name}: {len(latencies) * case.events / wall:,.0f} events/s", file=sys.stderr, flush=True)
    return Measured(case, len(latencies), wall, cpu, sorted(latencies))


def _send(port: int, case: Case, number: int, seconds: float, results: "multiprocessing.Queue[list[float]]") -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {EDGE.text}", "Content-Type": case.kind, "Content-Encoding": case.encoding}
    latencies = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        body = case.bodies[(number + len(latencies)) % len(case.bodies)]
        connection.request("POST", f"/api/v1/events{case.query}", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204, answer.status
        latencies.append(time.monotonic() - began)
    results.put(latencies)


def _table(measured: Sequence[Measured]) -> list[str]:
    shown = [
        "| what | senders | requests/s | events/s | of the aim | CPU s per million | events per core second | core used | p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for m in measured:
        events = m.requests * m.case.events
        p50, p99 = (m.latencies_s[int(len(m.latencies_s) * share)] * 1000 for share in (0.5, 0.99))
        shown.append(
            f"| {m.case.name} | {m.case.senders} | {m.requests / m.wall_s:,.0f} | {events / m.wall_s:,.0f} | {events / m.wall_s / AIM:.1f} | "
            f"{m.cpu_s / events * 1e6:.1f} | {events / m.cpu_s:,.0f} | {m.cpu_s / m.wall_s:.0%} | {p50:.0f} | {p99:.0f} |"
        )
    return shown


def _parts(site: Path) -> list[str]:
    """The steps of `tollbook serve`, each by itself in this process, for 1,000 CloudEvents alone and for eight such
    requests together.
    """
    from billing.catalog import loading

    body = json.dumps([_event(i) for i in range(1000)]).encode()
    text = lines_of(body, BodyShape.EVENTS)
    packed = gzip.compress(body, 6)
    decoder, *limits = http_server.readings(loading.load(site / "catalog"))("cloudevents", "edge")[:3]
    sent = RequestLines(text, T0_MS * 1000, has_key=False)
    framed = {n: split_lines(text * n, 0) for n in (1, 8)}

    def unpack() -> None:
        unpacker = Unpacker("gzip")
        unpacker.feed(packed)
        unpacker.text()

    steps: list[tuple[str, int, Callable[[], object]]] = [
        ("gzip, where the body is packed", 1, unpack),
        ("array to lines (numpy)", 1, lambda: lines_of(body, BodyShape.EVENTS)),
        ("lines to Arrow", 1, lambda: split_lines(text, 0)),
        ("decode, one request", 1, lambda: decoder.decode(framed[1], "")),
        ("decode, eight requests together", 8, lambda: decoder.decode(framed[8], "")),
        ("whole judgement, one request", 1, lambda: judge([sent], decoder, *limits)),
        ("whole judgement, eight together", 8, lambda: judge([sent] * 8, decoder, *limits)),
        ("cut into records", 1, lambda: records(text, format_name="cloudevents", source="edge", key=None)),
    ]
    shown = ["| step | ms per 1,000 events | events per core second |", "| --- | ---: | ---: |"]
    for name, thousands, step in steps:
        ms = _best_ms(step) / thousands
        shown.append(f"| {name} | {ms:.2f} | {1e6 / ms:,.0f} |")
    return [
        *shown, "",
        "What the table above needs beyond a judgement is HTTP (h11, uvicorn), the copy to the Kafka client, its compression and its threads.",
    ]  # fmt: skip


def _best_ms(step: Callable[[], object], times: int = 30) -> float:
    best = float("inf")
    for _ in range(times):
        began = time.thread_time()
        step()
        best = min(best, time.thread_time() - began)
    return best * 1000


if __name__ == "__main__":
    main()
