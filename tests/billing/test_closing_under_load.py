"""A finished month is closed while the next one lands: every close succeeds, and each bills exactly the finished
month.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from aggregate.landing import derived_commits
from aggregate.landing import land as landing
from aggregate.landing.known_topics import KnownTopic, recognise
from aggregate.landing.land import Land
from aggregate.verify import prove
from billing.invoicing import closing
from billing.rating.bills import bills
from billing.usage.warehouse import Warehouse
from lake import duck
from lake.derived_tables import FOLLOWERS, taken_in
from lake.errors import Fenced
from lake.lake import Lake
from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.tables import DEAD, FRESH_EVENTS, INGESTED, ROLLUPS
from tests.aggregate.fixtures import PLAIN, now, partition
from tests.aggregate.memory_log import MemoryLog
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, OCTOBER, books, land, request
from tests.long import amount

pytestmark = pytest.mark.integration

CLOSES = amount(2, 6, 50)
COMMITS = 12  # that may come beside each close
ACCESS = "gateway.access/0@id"


def november(name: str) -> dict[str, Any]:
    return request("2026-11-02T12:00Z", name=name, response_bytes=10**7)


@contextmanager
def beside(*workers: Callable[[Callable[[], None]], None]) -> Iterator[Callable[[], None]]:
    """Workers that land, each calls what it is given after every commit and ends when that raises; gives a wait for
    one more commit.
    """
    landed, ended, allowed = threading.Condition(), threading.Event(), threading.Semaphore(0)
    commits, failed = 0, list[BaseException]()

    def turn() -> None:
        nonlocal commits
        with landed:
            commits += 1
            landed.notify_all()
        allowed.acquire()
        if ended.is_set():
            raise StopIteration

    def run(work: Callable[[Callable[[], None]], None]) -> None:
        try:
            work(turn)
        except StopIteration:
            pass
        except BaseException as exc:  # told to the test, whatever it is
            failed.append(exc)
            with landed:
                landed.notify_all()
            raise

    def another() -> None:
        with landed:
            before = commits
            allowed.release(COMMITS)
            assert landed.wait_for(lambda: commits > before or failed, timeout=60)
        assert not failed

    threads = [threading.Thread(target=run, args=(work,)) for work in workers]
    for thread in threads:
        thread.start()
    try:
        yield another
    finally:
        ended.set()
        allowed.release(len(threads))
        for thread in threads:
            thread.join()
    assert not failed


def close_often(root: Path, another: Callable[[], None]) -> list[closing.Close]:
    made = []
    for _ in range(CLOSES):
        another()
        made.append(closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW))
    return made


def check_exact(root: Path, made: Sequence[closing.Close], expected: Path) -> None:
    """Each close pins a state in which the tables agree, and bills what the finished month alone would be billed."""
    alone = bills(book(), "2026-10", Warehouse(Lake(expected)).usage_of(book()), {}).drafts
    for each in made:
        drafts = each.rules.drafts(closing.pinned(Lake(root), each), each.content, each.catalog())
        assert list(drafts) == list(alone)
        assert each.blocked == {}
        assert prove(Lake(root), each.content["versions"]).problems == []
        assert all(row["unexplained"] == 0 for row in each.content["completeness"])
    assert len({each.content["versions"]["events"] for each in made}) > 1, "nothing landed beside the closes"


@pytest.mark.slow
def test_a_finished_month_is_closed_while_files_land(root: Path, october: Path) -> None:
    """The tables that follow `events` stand at different commits at almost any moment: the close takes one at which
    all agree.
    """

    def work(turn: Callable[[], None]) -> None:
        for generation in count():
            rows = [november(f"{generation}-{n}") for n in range(11)]
            log = MemoryLog(partition(rows, f"n{generation}"), batch=1)
            for _ in Land(Lake(root), log, catalog_sha256="c", now=now, commit_entries=1).run():
                turn()

    with beside(work) as another:
        made = close_often(root, another)
    check_exact(root, made, october)


class Spread:
    """One partition of `usage.events` over a topic whose every record holds an entry for each of two; only the
    second says what was read.
    """

    def __init__(self, number: int, rows: Sequence[dict[str, Any]], *, stop: int | None = None) -> None:
        self._where = Partition("usage.events", str(number), f"usage.events/{number}", number)
        self._rows, self._stop = rows, stop
        self._left: deque[Fetched] = deque()
        self._next = 0

    def start(self, reader: LogReader) -> None:
        self._next = reader.assigned([self._where])[self._where] or 0

    def poll(self) -> Fetched | None:
        at = self._next
        if at == self._stop:
            return None
        self._next += 1
        row = self._rows[at] if at < len(self._rows) else november(f"{at}-{self._where.number}")
        report = {
            "source": "edge",
            "generation": ACCESS,
            "from_offset": at,
            "to_offset": at + 1,
            "records": 1,
            "entries": 2,
        }
        return Fetched(
            self._where, at, at + 1,
            pa.Table.from_pylist([{**row, "generation": ACCESS, "position": at, "item": self._where.number}], PLAIN).cast(FRESH_EVENTS),
            DEAD.schema.empty_table(), [Origin(ACCESS, at, at + 1)],
            pa.Table.from_pylist([report] if self._where.number == 1 else [], INGESTED.schema),
        )  # fmt: skip


# The same month, each event in one of two partitions.
HALVES = [OCTOBER[::2], OCTOBER[1::2]]


@pytest.fixture
def spread(tmp_path: Path) -> Path:
    root = tmp_path / "spread"
    Lake(root).create()
    recognise(Lake(root), KnownTopic("usage.events", "e", 2))
    for number, rows in enumerate(HALVES):
        for _ in Land(Lake(root), Spread(number, rows, stop=7), catalog_sha256="c", now=now).run():
            pass
    return root


def test_a_finished_month_is_closed_while_workers_land_from_a_topic(spread: Path, october: Path) -> None:
    """One worker is always ahead of the other: what it alone has brought, and what only one of them knows was read,
    is on its way.
    """

    def worker(number: int) -> Callable[[Callable[[], None]], None]:
        def work(turn: Callable[[], None]) -> None:
            while True:
                try:
                    for _ in Land(
                        Lake(spread), Spread(number, HALVES[number]), catalog_sha256="c", now=now, commit_entries=1
                    ).run():
                        turn()
                except Fenced:
                    continue  # as a supervisor does

        return work

    with beside(worker(0), worker(1)) as another:
        made = close_often(spread, another)
    check_exact(spread, made, october)


def test_what_one_partition_has_brought_alone_is_on_its_way(spread: Path) -> None:
    """Ingest reported two entries for each record. The worker of the other partition has not landed three of them
    yet.
    """
    for _ in Land(Lake(spread), Spread(1, HALVES[1], stop=10), catalog_sha256="c", now=now).run():
        pass
    (row,) = duck.rows(Warehouse(Lake(spread)).query("completeness"))
    assert {k: row[k] for k in ("entries", "counted", "on_the_way", "unexplained")} == {
        "entries": 20,
        "counted": 17,
        "on_the_way": 3,
        "unexplained": 0,
    }
    assert closing.close(Lake(spread), book(), "2026-10", "north", prove=books(spread), now=NOW)


@pytest.mark.slow
def test_what_is_landed_before_anybody_says_that_it_was_read_is_no_surplus(spread: Path) -> None:
    """The partition that says what was read may be the slower one."""
    for _ in Land(Lake(spread), Spread(0, HALVES[0], stop=10), catalog_sha256="c", now=now).run():
        pass
    (row,) = duck.rows(Warehouse(Lake(spread)).query("completeness"))
    assert (row["entries"], row["counted"], row["on_the_way"], row["unexplained"]) == (17, 17, 0, 0)
    assert closing.close(Lake(spread), book(), "2026-10", "north", prove=books(spread), now=NOW)


def test_what_both_partitions_should_have_brought_and_did_not_is_unexplained(spread: Path) -> None:
    """Three entries below what both have brought: the tables should hold them."""
    report = {"source": "edge", "generation": ACCESS, "from_offset": 3, "to_offset": 4, "records": 1, "entries": 3}
    part = Lake(spread).write(INGESTED, pa.Table.from_pylist([report], INGESTED.schema))
    Lake(spread).open(INGESTED).commit([part], versions={}, info={})
    with pytest.raises(closing.Refused, match="3 of 17 entries were taken in and are in no table"):
        closing.close(Lake(spread), book(), "2026-10", "north", prove=lambda *_: [], now=NOW)


def test_the_cut_is_the_newest_commit_that_all_tables_hold(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker died between the commits of derived tables, twice, at different tables: the cut goes back to where
    they last agreed, no further.
    """
    before = Lake(root).consistent_cut()
    assert before == {name: DeltaTable(root / name).version() for name in before}
    for generation, table in (("a", ROLLUPS.name), ("b", INGESTED.name)):
        with monkeypatch.context() as patch:
            patch.setattr(derived_commits, "FOLLOWERS", FOLLOWERS[: [s.name for s in FOLLOWERS].index(table)])
            land(root, [november(generation)], generation)
    assert Lake(root).consistent_cut() == before
    proof = prove(Lake(root))
    assert (proof.problems, proof.commits_on_the_way) == ([], 2)
    land(root, [], "c")
    after = Lake(root).consistent_cut()
    assert after == {name: DeltaTable(root / name).version() for name in after}
    assert after["events"] == before["events"] + 2
    assert taken_in(DeltaTable(root / "rollups", version=before["rollups"])) == before["events"]


def test_the_cut_passes_over_states_that_only_some_tables_had(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker brought the first tables to one commit, another all of them to a later one, and it died within the
    one after that.
    """
    with monkeypatch.context() as patch:
        patch.setattr(derived_commits, "FOLLOWERS", FOLLOWERS[:2])
        land(root, [november("a")], "a")
    land(root, [november("b")], "b")
    agreed = Lake(root).consistent_cut()
    with monkeypatch.context() as patch:
        patch.setattr(landing.derived_commits, "FOLLOWERS", FOLLOWERS[1:])
        land(root, [november("c")], "c")
    assert Lake(root).consistent_cut() == agreed
