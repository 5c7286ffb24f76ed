"""Several land workers on one lake: `python -m benchmarks.workers`.

Writes docs/results/workers.md. The same commits are made by 1, 2, 4 and 8 processes, each with its part of 64
partitions. Counted are the CPU time of all, attempts to commit that another worker was faster with, and the commits of
the slowest worker when the fastest had ended.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from aggregate.landing.land import Land
from aggregate.verify import prove
from benchmarks.machine import heading
from lake.lake import Lake
from lake.storage.local import LocalStore
from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.tables import DEAD, EVENTS, FRESH_EVENTS, INGESTED

RESULT = Path(__file__).parent.parent / "docs" / "results" / "workers.md"
PARTITIONS = 64
_EVENTS = 1000  # of a commit
_BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
_PLAIN = pa.schema([f for f in EVENTS.schema if f.name in FRESH_EVENTS.names])


class CountingStore(LocalStore):
    """Counts entries that another writer had created already."""

    lost = 0

    def create(self, key: str, content: bytes, *, secret: bool = False) -> bool:
        """As the local store does it."""
        made = super().create(key, content, secret=secret)
        type(self).lost += not made
        return made


class Turns:
    """A log of some partitions, which have new entries in turn."""

    def __init__(self, numbers: Sequence[int], commits: int) -> None:
        self._partitions = [Partition("edge", f"g{n}", f"g{n}.log", n) for n in numbers]
        self._next: dict[Partition, int] = {}
        self._left = commits
        self._rows = _rows()

    def start(self, reader: LogReader) -> None:
        """Assign all partitions."""
        self._next = {p: offset or 0 for p, offset in reader.assigned(self._partitions).items()}

    def poll(self) -> Fetched | None:
        """A thousand entries of the next partition."""
        if not self._left:
            return None
        self._left -= 1
        partition = self._partitions[self._left % len(self._partitions)]
        start = self._next[partition]
        self._next[partition] = start + _EVENTS
        names = pa.array([f"{partition.number}-{n}" for n in range(start, start + _EVENTS)])
        rows = self._rows.set_column(self._rows.schema.get_field_index("event_id"), "event_id", names)
        at = self._rows.schema.get_field_index("position")
        rows = rows.set_column(at, "position", pa.array(range(start, start + _EVENTS), pa.int64()))
        at = self._rows.schema.get_field_index("generation")
        name = pa.array([partition.generation] * _EVENTS)
        rows = rows.set_column(at, "generation", name.cast(rows.schema.field(at).type))
        ingested = dict(
            zip(INGESTED.schema.names, ("edge", partition.generation, start, start + _EVENTS, _EVENTS, 1), strict=True)
        )
        return Fetched(
            partition, start, start + _EVENTS, rows, DEAD.schema.empty_table(), [Origin(partition.generation, start, start + _EVENTS)],
            pa.Table.from_pylist([ingested], INGESTED.schema),
        )  # fmt: skip


def _rows() -> pa.Table:
    rows = [
        {
            "source": "edge", "event_id": "", "partner_id": f"p{n % 7}", "occurred_at": _BEGAN + timedelta(seconds=n), "service": "api", "method": "GET",
            "route": "/orders", "status": 200, "response_bytes": 100, "suspended": False, "generation": "g", "position": n, "item": 0,
        }
        for n in range(_EVENTS)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, _PLAIN).cast(FRESH_EVENTS)


class Ended(NamedTuple):
    """One worker."""

    cpu_s: float
    lost: int
    ended_s: float


def _work(root: Path, numbers: Sequence[int], commits: int, ready: object, results: object) -> None:
    lake = Lake(CountingStore(root))
    worker = Land(lake, Turns(numbers, commits), catalog_sha256="c", now=lambda: _BEGAN, commit_entries=_EVENTS)
    ready.wait()  # type: ignore[attr-defined]
    begun = time.process_time()
    for _ in worker.run():
        pass
    results.put(Ended(time.process_time() - begun, CountingStore.lost, time.monotonic()))  # type: ignore[attr-defined]


class Round(NamedTuple):
    """All workers of one round."""

    workers: int
    commits: int
    cpu_s: float
    lost: int
    first_s: float  # from the start to the end of the fastest worker
    last_s: float


def run(workers: int, commits: int) -> Round:
    """The commits by as many processes."""
    folder = Path(tempfile.mkdtemp())
    try:
        Lake(folder / "lake").create()
        spawn = multiprocessing.get_context("fork")
        ready, results = spawn.Barrier(workers + 1), spawn.Queue()
        numbers = [list(range(n, PARTITIONS, workers)) for n in range(workers)]
        processes = [
            spawn.Process(target=_work, args=(folder / "lake", mine, commits // workers, ready, results))
            for mine in numbers
        ]
        for process in processes:
            process.start()
        ready.wait()
        begun = time.monotonic()
        ended = [results.get() for _ in processes]
        for process in processes:
            process.join()
        proof = prove(Lake(folder / "lake"))
        assert proof.problems == [], proof.problems[:5]
        assert proof.totals()["counted"] == commits // workers * workers * _EVENTS
        times = sorted(each.ended_s - begun for each in ended)
        return Round(workers, commits, sum(e.cpu_s for e in ended), sum(e.lost for e in ended), times[0], times[-1])
    finally:
        shutil.rmtree(folder)


def page(rounds: Sequence[Round]) -> str:
    """The page of results."""
    first = rounds[0]
    lines = [
        heading(
            "Several land workers on one lake",
            f"python -m benchmarks.workers --commits {first.commits}",
            f"{_EVENTS:,} events a commit, {PARTITIONS} partitions",
        ),
        "",
        "| workers | commits | CPU s (ratio to one worker) | attempts lost to another worker | lost for each commit | fastest and slowest worker, s |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    lines += [
        f"| {r.workers} | {r.commits} | {r.cpu_s:.1f} ({r.cpu_s / first.cpu_s:.2f}) | {r.lost} | {r.lost / r.commits:.2f} | {r.first_s:.1f}, {r.last_s:.1f} |"
        for r in rounds
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=640)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rounds = []
    for workers in given.workers:
        rounds.append(run(workers, given.commits))
        print(rounds[-1], flush=True)
    RESULT.write_text(page(rounds))


if __name__ == "__main__":
    main()
