"""What a month of many partners costs to rate, close and issue: `python -m benchmarks.billing`.

Writes docs/results/billing.md.

The usage is written into the lake as land writes it; everything else is what the commands do. Times are of the wall
clock, one run each, one after the other in one process; ratios are what counts.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aggregate.landing.land import Land
from aggregate.verify import prove
from benchmarks.catalog import written
from benchmarks.kafka import RESULT
from benchmarks.machine import heading
from billing.catalog import loading as catalogs
from billing.invoicing import closing, issuing
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.windows import to_us
from tests.aggregate.fixtures import event, now, partition
from tests.aggregate.memory_log import MemoryLog

PAGE = RESULT.with_name("billing.md")
LABEL = "2026-10"
NOW = datetime(2026, 11, 5, tzinfo=UTC)
FIRST_US = to_us(datetime(2026, 10, 2, tzinfo=UTC))
DAYS = 28
ROUTES = ("/v1/orders", "/v1/items", "/v1/export")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partners", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    args = parser.parse_args(argv)
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
        "| step | seconds | beside |",
        "| --- | ---: | --- |",
        f"| load and check the catalog | {load_s:.1f} | {len(ids):,} partners |",
        f"| DuckDB sums the same rollups by partner | {sums_s:.2f} | the least that rating can take |",
        f"| `invoice rate` | {rate_s:.1f} | {len(drafts):,} drafts |",
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
    ]
    PAGE.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = act()
    return result, time.perf_counter() - start


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
