"""What a month of many partners costs to rate, close and issue: `python -m benchmarks.billing`.

Writes docs/results/billing.md.

The usage is written into the lake as land writes it; everything else is what the commands do. Times are seconds of a
core, by all threads together, one run each, one after the other in one process; ratios are what counts.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aggregate.landing.land import Land
from aggregate.verify import prove
from benchmarks.catalog import written
from benchmarks.kafka import RESULT
from benchmarks.machine import heading
from billing.catalog import loading as catalogs
from billing.invoicing import closing, issuing
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.tables import ROLLUPS, TIME
from schemas.windows import WINDOW_US, from_us, to_us
from tests.aggregate.fixtures import event, now, partition
from tests.aggregate.memory_log import MemoryLog
from tollbook.memory import collect_rarely

PAGE = RESULT.with_name("billing.md")
NOTES = Path(__file__).with_name("billing_notes.md")
LABEL = "2026-10"
NOW = datetime(2026, 11, 5, tzinfo=UTC)
FIRST_US = to_us(datetime(2026, 10, 2, tzinfo=UTC))
DAYS = 28
ROUTES = ("/v1/orders", "/v1/items", "/v1/export")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partners", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--rollups", type=int, help="only rate, over so many rows of rollups; prints, and writes no page"
    )
    args = parser.parse_args(argv)
    collect_rarely()  # as every command does
    if args.rollups:
        rate_many(args.partners, args.rollups)
        return
    with tempfile.TemporaryDirectory(prefix="tollbook-billing-") as folder:
        written(Path(folder) / "catalog", args.partners)
        root = Path(folder) / "lake"
        book, load_s = timed(lambda: catalogs.load(Path(folder) / "catalog"))
        ids = [partner.id for partner in book.partners]
        landed(root, ids, args.events)
        entity = book.legal_entities[0].id

        def books(versions: Any, start: datetime, end: datetime) -> list[str]:
            return prove(Lake(root), versions, start=start, end=end).problems

        sums_s = timed(
            lambda: (
                Warehouse(Lake(root), only=["rollups"])
                .con.sql("SELECT partner_id, sum(requests) FROM rollups GROUP BY ALL")
                .fetchall()
            )
        )[1]
        drafts, rate_s = timed(
            lambda: closing.bills_of(Warehouse(Lake(root)), book, book.payers(), LABEL, Lake(root)).drafts
        )
        prove_s = timed(lambda: prove(Lake(root)))[1]
        made, close_s = timed(lambda: closing.close(Lake(root), book, LABEL, entity, prove=books, now=NOW))
        report, issue_s = timed(lambda: issuing.issue(Lake(root), made, now=NOW))
        again_s = timed(lambda: issuing.issue(Lake(root), made, now=NOW))[1]
        checked, verify_s = timed(lambda: issuing.verify(Lake(root)))
        assert not [p for c in checked for p in c.problems]
    rows = [
        "| step | seconds of a core | beside |",
        "| --- | ---: | --- |",
        f"| load and check the catalog | {load_s:.1f} | {len(ids):,} partners |",
        f"| DuckDB sums the same rollups by partner | {sums_s:.2f} | the least that rating can take |",
        f"| `invoice rate` | {rate_s:.1f} | {len(drafts):,} drafts; {(load_s + rate_s) / (load_s + sums_s):.2f} of the sum, each with the catalog it loads |",
        f"| the proof of the books, within the close | {prove_s:.1f} | {args.events:,} events |",
        f"| `invoice close` | {close_s:.1f} | {(load_s + close_s) / (load_s + rate_s):.2f} of rate, each with the catalog it loads |",
        f"| `invoice issue` | {issue_s:.1f} | {issue_s * 1000 / report.new:.1f} ms an invoice |",
        f"| `invoice issue` again | {again_s:.1f} | nothing new |",
        f"| `invoice verify` | {verify_s:.1f} | {verify_s * 1000 / len(checked):.1f} ms an invoice |",
    ]
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    command = f"python -m benchmarks.billing --partners {args.partners} --events {args.events}"
    text = [
        heading("Rating, closing and issuing", command, "made for it, the same every time"),
        "",
        *rows,
        "",
        f"Peak memory: {memory_mib:,} MiB.",
        "",
        NOTES.read_text().rstrip(),
    ]
    PAGE.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def rate_many(partners: int, rows: int) -> None:
    """Rate a month of so many rollups, and print what it takes beside the bare sum. The books of it prove nothing."""
    with tempfile.TemporaryDirectory(prefix="tollbook-billing-") as folder:
        written(Path(folder) / "catalog", partners)
        lake = Lake(Path(folder) / "lake")
        lake.create()
        book, load_s = timed(lambda: catalogs.load(Path(folder) / "catalog"))
        ids = pa.array([partner.id for partner in book.partners])
        for day in range(DAYS):
            on = from_us(FIRST_US).date() + timedelta(days=day)
            parts = [lake.write(ROLLUPS, some, on) for some in _rollups(ids, day, rows // DAYS)]
            lake.open(ROLLUPS).commit(parts, versions={}, info={})
        before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        sums = "SELECT partner_id, sum(requests) FROM rollups GROUP BY ALL"
        _, sums_s = timed(lambda: Warehouse(lake, only=["rollups"]).con.sql(sums).fetchall())
        outcome, rate_s = timed(lambda: closing.bills_of(Warehouse(lake), book, book.payers(), LABEL, lake))
        memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{rows:,} rollups of {partners:,} partners: catalog {load_s:.1f} s, bare sum {sums_s:.1f} s, rate {rate_s:.1f} s "
        f"for {len(outcome.drafts):,} drafts; with the catalog {(load_s + rate_s) / (load_s + sums_s):.2f} of the bare sum; "
        f"peak memory {memory_mib:,} MiB, {before_mib:,} before"
    )


def _rollups(ids: pa.Array, day: int, rows: int) -> Iterator[pa.Table]:
    """Rollups of one day, spread over partners, windows, routes and status codes, in parts of a few million rows."""
    start_us = FIRST_US + day * 86_400_000_000
    for first in range(0, rows, 4_000_000):
        n = np.arange(first, min(first + 4_000_000, rows))
        columns = {
            "partner_id": ids.take(pa.array(n % len(ids))),
            "window_start": pa.array(start_us + n % 96 * WINDOW_US, pa.int64()).cast(TIME),
            "source": pa.repeat("edge", len(n)),
            "service": pa.repeat("orders", len(n)),
            "method": pa.repeat("GET", len(n)),
            "route": pa.array(ROUTES).take(pa.array(n % len(ROUTES))),
            "status": pa.array((200 + n % 5).astype(np.int16)),
            "requests": pa.array(n % 7 + 1),
            "request_bytes": pa.array(n % 1000),
            "response_bytes": pa.array(n % 10_000),
            "latency_us": pa.array(n % 100_000),
            "events_partition": pa.array((n % 12).astype(np.int16)),
        }
        stored = pa.schema([field for field in ROLLUPS.schema if field.name in columns])
        yield pa.table([columns[field.name].cast(field.type) for field in stored], schema=stored)


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """What `act` gives, and the seconds of a core that it took."""
    start = time.process_time()
    result = act()
    return result, time.process_time() - start


def landed(root: Path, ids: Sequence[str], events: int) -> None:
    """So many events, spread over all partners, days and three routes."""
    Lake(root).create()
    for start in range(0, events, 100_000):
        rows = list(_events(ids, range(start, min(start + 100_000, events))))
        for _ in Land(Lake(root), MemoryLog(partition(rows, f"g{start}")), catalog_sha256="c", now=now).run():
            pass


def _events(ids: Sequence[str], numbers: range) -> Iterator[dict[str, Any]]:
    step_us = DAYS * 86_400_000_000 // 1_000_000
    for n in numbers:
        at = FIRST_US + n * step_us % (DAYS * 86_400_000_000)
        yield event(
            f"e{n}",
            at,
            partner_id=ids[n % len(ids)],
            route=ROUTES[n % len(ROUTES)],
            response_bytes=n % 10_000,
            credential=None,
        )


if __name__ == "__main__":
    main()
