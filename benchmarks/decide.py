"""How long an answer of `tollbook decide` takes: `python -m benchmarks.decide`. Writes docs/results/decide.md.

The server runs as an operator starts it, on a lake that takes in a commit each second. On a broker, it also times how
soon a grant changes the answer. Questions are sent at a fixed
rate over a few connections that stay open, as gateways do, by another process. Each answer is timed from the moment at
which its question was due, so a question that waits for an earlier answer counts its wait.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer

from aggregate.quota import grants
from aggregate.quota.grants import Asked
from benchmarks.kafka import create_topics
from benchmarks.machine import heading
from lake.lake import Lake
from schemas.kafka import topics
from schemas.tables import EVENTS
from tests.billing.lakes import land, request
from tests.kafka.broker import Broker
from tests.kafka.processes import Process
from tests.tollbook.deciding import decide, write_catalog
from tests.tollbook.fixtures import METERS, SELLER
from tollbook.deciding.states import KEY

PAGE = Path(__file__).parent.parent / "docs" / "results" / "decide.md"
CONNECTIONS = 8
COMMIT_S = 1.0
COMMIT_EVENTS = 200
DENIED = 403
PATIENCE_S = 60


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="questions a second")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--partners", type=int, default=1000)
    parser.add_argument("--grants", type=int, default=20, help="grants to time on a broker")
    parser.add_argument(
        "--first", action="store_true", help="server and sender come before all other processes (Linux, root)"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tollbook-decide-") as place:
        rows = answers(Path(place), args.rate, args.seconds, args.partners, first=args.first)
    with tempfile.TemporaryDirectory(prefix="tollbook-grants-") as place, Broker() as broker:
        waits_s = flips(Path(place), broker.bootstrap, args.grants)
    shares = (
        "Server and sender have a core whenever they want one (SCHED_RR), as the machine has other work; the process that commits has what is left."
        if args.first
        else "Server, sender and lake share the machine."
    )
    text = [
        heading("How long an answer of the decision server takes", "python -m benchmarks.decide " + " ".join(sys.argv[1:]), "made anew"),
        "",
        (
            f"{args.rate} questions a second over {CONNECTIONS} connections on loopback, {args.seconds} s each; {args.partners:,} partners with a "
            f"credential and two quotas each. {shares}"
        ),
        "",
        "| lake | commits | answers | p50 | p90 | p99 | p99.9 | most |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        "## From a grant to its answer, on a broker",
        "",
        (
            f"A partner is denied, and is granted more. Timed {args.grants} times from the moment before the grant is recorded in the lake, with "
            "`tollbook quota`, `tollbook decide` and a broker on the same machine, all with their defaults."
        ),
        "",
        "| until | p50 | most |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {np.percentile(found, 50):.2f} s | {max(found):.2f} s |" for name, found in waits_s.items()),
    ]  # fmt: skip
    PAGE.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def answers(place: Path, rate: int, seconds: int, partners: int, *, first: bool) -> list[str]:
    """The rows of the table: a lake at rest, and one that grows."""
    lake, catalog = place / "lake", write_catalog(place / "catalog", catalog_of(partners))
    commit(lake, partners, 0)
    rows = []
    with decide(lake, catalog) as server:
        if first:
            for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
                come_first(int(thread.name))
        for name, grows in (("at rest", False), (f"a commit of {COMMIT_EVENTS} events each second", True)):
            stop = threading.Event()
            before = Lake(lake).open(EVENTS).version
            landing = threading.Thread(target=keep_committing, args=(lake, partners, stop))
            if grows:
                landing.start()
            waits_ms = asked(server.port, rate, seconds, partners, first=first)
            stop.set()
            if grows:
                landing.join()
            commits = Lake(lake).open(EVENTS).version - before
            figures = " | ".join(f"{np.percentile(waits_ms, q):.2f} ms" for q in (50, 90, 99, 99.9, 100))
            rows.append(f"| {name} | {commits} | {len(waits_ms):,} | {figures} |")
    return rows


def come_first(thread: int) -> None:
    """Give a thread, 0 for this one, a core before all threads of other processes that have not asked for that."""
    os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))


def flips(place: Path, bootstrap: str, count: int) -> dict[str, list[float]]:
    """Seconds from each grant to the answer of the decision server, and to the record of `quota.state`, that allow."""
    create_topics(bootstrap, "")
    lake = place / "lake"
    catalog = write_catalog(place / "catalog", catalog_of(count, day_limit=COMMIT_EVENTS // count))
    commit(lake, count, 0)
    answered: list[float] = []
    published: list[float] = []
    where = ["--bootstrap-servers", bootstrap, "--lake", lake, "--catalog", catalog]
    with decide(lake, catalog) as server, States(bootstrap) as states, supervised(["quota", *where], states):
        for number in range(count):
            credential = f"api_key:k{number}"
            states.until(credential, "deny")
            assert server.decision(credential).status == DENIED
            until = datetime.now(UTC) + timedelta(hours=1)
            asked_for = Asked(f"p{number}", "requests", "DAY", Decimal(5), None, until, "a benchmark")
            begun = time.perf_counter()
            grants.record(Lake(lake), asked_for, by="bench", now=datetime.now(UTC))
            while server.decision(credential).status == DENIED:
                time.sleep(0.005)
            answered.append(time.perf_counter() - begun)
            published.append(states.until(credential, "allow") - begun)
    return {"the server answers 200": answered, "a consumer has the record of `quota.state`": published}


@contextmanager
def supervised(words: Sequence[object], states: "States") -> Iterator[None]:
    """A worker that publishes. It is started again until it does: without leaders of new topics it ends."""
    worker = Process(words)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not states.have_come:
            if worker.code is not None:
                worker = Process(words)
            if time.monotonic() > deadline:
                raise RuntimeError(worker.tail())
            time.sleep(0.05)
        yield
    finally:
        worker.stop()


class States:
    """A consumer of `quota.state`, on a thread: when it had each decision first."""

    def __init__(self, bootstrap: str) -> None:
        self._seen_s: dict[tuple[str, str], float] = {}
        self._stop = threading.Event()
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench", "auto.offset.reset": "earliest"}
        )
        self._consumer.subscribe([topics.QUOTA_STATE])
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> "States":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    @property
    def have_come(self) -> bool:
        """Whether there was any record."""
        return bool(self._seen_s)

    def until(self, credential: str, word: str) -> float:
        """Wait for a decision about a credential. Returns when it came."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self._seen_s.get((f"{KEY}{credential}", word))) is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no record says {word} of {credential}")
            time.sleep(0.005)
        return found

    def _listen(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None and (value := message.value()) is not None:
                key = (message.key() or b"").decode()
                self._seen_s.setdefault((key, json.loads(value).get("decision", "")), time.perf_counter())


def catalog_of(partners: int, *, day_limit: int = 5000) -> str:
    """A catalog of partners on one plan."""
    people = "\n".join(
        f"  - {{id: p{n}, name: P, legal_entity: seller, time_zone: UTC, plans: [{{plan: hard, valid_from: 2026-01-01}}], "
        f"credentials: [{{kind: api_key, id: k{n}}}]}}"
        for n in range(partners)
    )
    return f"""{SELLER}{METERS}
rate_cards:
  - {{id: card, currency: EUR, versions: [{{valid_from: 2026-01-01, rates: [{{meter: requests, price: {{model: per_unit, unit_price: 1}}}}]}}]}}
plans:
  - id: hard
    rate_card: card
    quotas:
      - {{meter: requests, period: MONTH, limit: 100000, enforce: block}}
      - {{meter: requests, period: DAY, limit: {day_limit}, enforce: block}}
partners:
{people}
"""


def commit(lake: Path, partners: int, number: int) -> None:
    """Land a commit with usage of some partners."""
    at = datetime.now(UTC).isoformat()
    rows = [
        request(at, f"p{n % partners}", name=f"{number}-{n}")
        for n in range(number * COMMIT_EVENTS, (number + 1) * COMMIT_EVENTS)
    ]
    land(lake, rows, f"g{number}")


def keep_committing(lake: Path, partners: int, stop: threading.Event) -> None:
    """Land a commit each second, or as often as the machine lets it."""
    number = 1
    while not stop.wait(COMMIT_S):
        commit(lake, partners, number)
        number += 1


def asked(port: int, rate: int, seconds: int, partners: int, *, first: bool) -> list[float]:
    """The waits in milliseconds, measured by a process of their own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_ask_all, (port, rate, seconds, partners, first))


def _ask_all(port: int, rate: int, seconds: int, partners: int, first: bool) -> list[float]:  # noqa: FBT001
    if first:
        come_first(0)
    return asyncio.run(_asked(port, rate, seconds, partners))


async def _asked(port: int, rate: int, seconds: int, partners: int) -> list[float]:
    due: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()
    waits_ms: list[float] = []
    workers = [asyncio.create_task(_connection(port, due, waits_ms, partners)) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.5)
    begun = time.perf_counter()
    for number in range(rate * seconds):
        at = begun + number / rate
        if (left := at - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        due.put_nowait((number, at))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return waits_ms


async def _connection(
    port: int, due: "asyncio.Queue[tuple[int, float] | None]", waits_ms: list[float], partners: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (question := await due.get()) is not None:
        number, at = question
        key = number * 7919 % partners
        writer.write(f"GET /v1/decision HTTP/1.1\r\nHost: d\r\nX-Tollbook-Credential: api_key:k{key}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        assert head.startswith(b"HTTP/1.1 200"), head
        waits_ms.append((time.perf_counter() - at) * 1000)
    writer.close()


if __name__ == "__main__":
    main()
