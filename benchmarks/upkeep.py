"""A lake after many commits: `python -m benchmarks.upkeep [--commits 100 10000 100000]`.

Writes docs/results/upkeep.md. One land worker commits four events every second of a simulated clock, and does its
upkeep every minute, as `tollbook land` does. After each number of commits, it measures the CPU time of opening a table,
of a commit with the derived tables, of the upkeep, and of what `verify` reads of logs. Files are synced as usual.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from aggregate import upkeep
from aggregate.landing.land import Land
from benchmarks.machine import heading
from lake.lake import Lake
from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.tables import DEAD, EVENTS, FRESH_EVENTS, INGESTED, ROLLUPS

RESULT = Path(__file__).parent.parent / "docs" / "results" / "upkeep.md"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
UPKEEP_COMMITS = 60
_EVENTS = 4
_LAST = 50  # commits that are measured
_OPENED = 30
_PARTITION = Partition("edge", "g", "edge.log", 0)


class Ticking:
    """A log with four new entries at each second of its clock."""

    def __init__(self, at: int) -> None:
        self.second = at
        self._next = 0

    def now(self) -> datetime:
        """The simulated time."""
        return BEGAN + timedelta(seconds=self.second)

    def start(self, reader: LogReader) -> None:
        """Assign the only partition."""
        self._next = reader.assigned([_PARTITION])[_PARTITION] or 0

    def poll(self) -> Fetched | None:
        """The entries of this second, once."""
        if self._next > self.second * _EVENTS:
            return None
        start, self._next = self._next, self._next + _EVENTS
        rows = [
            {
                "source": "edge", "event_id": f"e{n}", "partner_id": f"p{n % 7}", "occurred_at": self.now(), "service": "api", "method": "GET",
                "route": "/orders", "status": 200, "response_bytes": 100, "suspended": False, "generation": "g", "position": n, "item": 0,
            }
            for n in range(start, self._next)
        ]  # fmt: skip
        ingested = dict(zip(INGESTED.schema.names, ("edge", "g", start, self._next, _EVENTS, 1), strict=True))
        return Fetched(
            _PARTITION, start, self._next, pa.Table.from_pylist(rows, _PLAIN).cast(FRESH_EVENTS), DEAD.schema.empty_table(),
            [Origin("g", start, self._next)], pa.Table.from_pylist([ingested], INGESTED.schema),
        )  # fmt: skip


_PLAIN = pa.schema([f for f in EVENTS.schema if f.name in FRESH_EVENTS.names])


class Measured(NamedTuple):
    """CPU milliseconds after a number of commits, and what is on disk."""

    commits: int
    opening_ms: float
    commit_ms: float
    upkeep_ms: float  # for each commit
    logs_ms: float
    files: int
    entries: int


def measured(lake: Lake, log: Ticking, worker: Land, until: int, *, with_upkeep: bool) -> Measured:
    """Commit until there are so many commits, and measure at the end."""
    kept_s, commits_s = 0.0, list[float]()
    begun_at = log.second
    while log.second < until:
        commits_s.append(_cpu_s(lambda: _committed(worker)))
        log.second += 1
        if with_upkeep and log.second % UPKEEP_COMMITS == 0:
            kept_s += _cpu_s(lambda: list(upkeep.keep_up(lake, now=log.now())))
    root = lake.root
    return Measured(
        until,
        statistics.median(_cpu_s(lambda: (lake.open(EVENTS), lake.open(ROLLUPS))) for _ in range(_OPENED)) * 500,
        statistics.mean(commits_s[-_LAST:]) * 1000,
        kept_s / (until - begun_at) * 1000,
        _cpu_s(lambda: _logs(lake)) * 1000,
        sum(1 for _ in root.rglob("*.parquet")),
        sum(1 for _ in root.glob("*/_delta_log/*.json")),
    )


def _committed(worker: Land) -> None:
    while worker.step() is None:
        pass
    while not worker.settle():
        pass


def _logs(lake: Lake) -> None:
    """What `verify` does with logs, without the files that they name."""
    for shape in upkeep.KEPT:
        lake.check_log(shape)
        found = lake.history(shape)
        assert not [*found.problems, *lake.problems_behind(shape, found.version), *lake.opening_problems(shape, found)]


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def run(marks: Sequence[int], *, with_upkeep: bool) -> list[Measured]:
    """The measurements of a new lake."""
    folder = Path(tempfile.mkdtemp())
    try:
        lake = Lake(folder / "lake")
        lake.create()
        log = Ticking(0)
        worker = Land(lake, log, catalog_sha256="c", now=log.now, commit_entries=_EVENTS)
        found = []
        for mark in marks:
            found.append(measured(lake, log, worker, mark, with_upkeep=with_upkeep))
            print(found[-1], flush=True)
        return found
    finally:
        shutil.rmtree(folder)


def page(kept: Sequence[Measured], plain: Sequence[Measured]) -> str:
    """The page of results."""
    lines = [
        heading("A lake after many commits", f"python -m benchmarks.upkeep --commits {' '.join(str(row.commits) for row in kept)}", "four events a second"),
        "",
        "One worker commits four events every second of a simulated clock. CPU milliseconds; the ratio is to the first row.", "",
        "| upkeep | commits | open a table | a commit with derived tables | upkeep for each commit | logs in `verify` | data files | log entries |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    lines += [_row(name, row, kept[0]) for name, rows in (("every minute", kept), ("none", plain)) for row in rows]
    return "\n".join(lines) + "\n"


def _row(name: str, row: Measured, first: Measured) -> str:
    return (
        f"| {name} | {row.commits:,} | {row.opening_ms:.2f} ({row.opening_ms / first.opening_ms:.2f}) | {row.commit_ms:.1f} "
        f"({row.commit_ms / first.commit_ms:.2f}) | {row.upkeep_ms:.1f} | {row.logs_ms:.0f} ({row.logs_ms / first.logs_ms:.2f}) | "
        f"{row.files:,} | {row.entries:,} |"
    )


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--without", type=int, nargs="+", default=[100, 2_000], help="commits of a lake without upkeep")
    given = parser.parse_args()
    RESULT.write_text(page(run(given.commits, with_upkeep=True), run(given.without, with_upkeep=False)))


if __name__ == "__main__":
    main()
