"""How long every command takes to load and check a catalog: `python -m benchmarks.catalog`.

Writes docs/results/catalog.md.

Partners have two credentials and a plan each. A time is that of the processor, of the best of several loads in one
process; the last column is the memory that the process has used at most.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.kafka import RESULT
from benchmarks.machine import heading
from billing.catalog import loading
from tests.billing.catalogs import PRICES, SELLER

PAGE = RESULT.with_name("catalog.md")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partners", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--loads", type=int, default=3)
    args = parser.parse_args(argv)
    rows = ["| partners | YAML | load and check | hash | memory |", "| ---: | ---: | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory(prefix="tollbook-catalog-") as folder:
        for count in args.partners:
            where = Path(folder) / str(count)
            size = written(where, count)
            load_s, hash_s = zip(*(measured(where, count) for _ in range(args.loads)), strict=True)
            memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            rows.append(
                f"| {count:,} | {size / 1e6:.1f} MB | {min(load_s):.2f} s | {min(hash_s):.2f} s | {memory_mib} MiB |"
            )
    command = "python -m benchmarks.catalog " + " ".join(sys.argv[1:])
    text = [heading("Loading a catalog", command, "made for it, the same bytes every time"), "", *rows]
    PAGE.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def written(folder: Path, partners: int) -> int:
    """Write a catalog of so many partners; its size in bytes."""
    folder.mkdir()
    files = {"seller.yaml": SELLER, "prices.yaml": PRICES, "partners.yaml": "".join(_partners(partners))}
    return sum((folder / name).write_text(text) for name, text in files.items())


def measured(folder: Path, partners: int) -> tuple[float, float]:
    """Seconds to load and check, and to hash."""
    start = time.process_time()
    book = loading.load(folder)
    loaded = time.process_time()
    assert len(book.partners) == partners
    assert book.sha256
    return loaded - start, time.process_time() - loaded


def _partners(count: int) -> Iterator[str]:
    yield "partners:\n"
    for i in range(count):
        yield f"""  - id: partner-{i:05d}
    name: Partner {i:05d} GmbH
    address: ["Weg {i}", "10115 Berlin", "Germany"]
    legal_entity: north
    time_zone: {ZONES[i % len(ZONES)]}
    plans:
      - {{plan: plan-a, valid_from: 2026-01-01}}
    credentials:
      - {{kind: api_key, id: key-{i:05d}, valid_from: 2026-01-01}}
      - {{kind: iam, id: "arn:aws:iam::{i:012d}:role/service/partner", valid_from: 2026-01-01}}
"""


if __name__ == "__main__":
    main()
