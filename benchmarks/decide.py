"""How long an answer of `tollbook decide` takes: `python -m benchmarks.decide`. Writes docs/results/decide.md.

The server runs as an operator starts it, on a lake that takes in a commit each second. Questions are sent at a fixed
rate over a few connections that stay open, as gateways do, by another process. Each answer is timed from the moment at
which its question was due, so a question that waits for an earlier answer counts its wait.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.machine import heading
from tests.billing.lakes import land, request
from tests.tollbook.deciding import decide, write_catalog
from tests.tollbook.fixtures import METERS, SELLER

PAGE = Path(__file__).parent.parent / "docs" / "results" / "decide.md"
CONNECTIONS = 8
COMMIT_S = 1.0
COMMIT_EVENTS = 200


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="questions a second")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--partners", type=int, default=1000)
    args = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory(prefix="tollbook-decide-") as place:
        lake, catalog = Path(place, "lake"), write_catalog(Path(place, "catalog"), catalog_of(args.partners))
        commit(lake, args.partners, 0)
        with decide(lake, catalog) as server:
            for name, grows in (("at rest", False), (f"a commit of {COMMIT_EVENTS} events each second", True)):
                stop = threading.Event()
                landing = threading.Thread(target=keep_committing, args=(lake, args.partners, stop))
                if grows:
                    landing.start()
                waits_ms = asked(server.port, args.rate, args.seconds, args.partners)
                stop.set()
                if grows:
                    landing.join()
                figures = " | ".join(f"{np.percentile(waits_ms, q):.2f} ms" for q in (50, 90, 99, 100))
                rows.append(f"| {name} | {len(waits_ms):,} | {figures} |")
    text = [
        heading("How long an answer of the decision server takes", "python -m benchmarks.decide " + " ".join(sys.argv[1:]), "made anew"),
        "",
        (
            f"{args.rate} questions a second over {CONNECTIONS} connections on loopback, {args.seconds} s each; {args.partners:,} partners with a "
            "credential and two quotas each. Server, sender and lake share the machine."
        ),
        "",
        "| lake | answers | p50 | p90 | p99 | most |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
    ]  # fmt: skip
    PAGE.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def catalog_of(partners: int) -> str:
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
      - {{meter: requests, period: DAY, limit: 5000, enforce: block}}
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
    """Land a commit each second."""
    number = 1
    while not stop.wait(COMMIT_S):
        commit(lake, partners, number)
        number += 1


def asked(port: int, rate: int, seconds: int, partners: int) -> list[float]:
    """The waits in milliseconds, measured by a process of their own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_ask_all, (port, rate, seconds, partners))


def _ask_all(port: int, rate: int, seconds: int, partners: int) -> list[float]:
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
