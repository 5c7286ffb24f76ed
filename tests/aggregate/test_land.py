"""The commit protocol: exactly once, whatever dies when, and never past a gap."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregate.landing import land as landing
from aggregate.landing.land import Counts, Land
from aggregate.verify import prove
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from lake.tables import Part
from schemas.log import Fetched, Origin, Partition
from schemas.tables import EVENTS, READS, ROLLUPS, TableShape
from tests.aggregate.fixtures import DAY_US, T0_US, event, now, partition, refusal
from tests.aggregate.memory_log import MemoryLog
from tests.lake.faulty import FaultyStore, Killed, Operation, commits, commits_to, writes
from tests.long import LONG, long_only

pytestmark = pytest.mark.integration

ROWS = [event(f"e{n}", T0_US + n * DAY_US // 50) for n in range(100)]
MIXED = [
    *ROWS[:40],
    event("e3", T0_US + 3 * DAY_US // 50),
    refusal(),
    event("e4", T0_US + 4 * DAY_US // 50, status=500),
    *ROWS[40:],
]
EXPECTED = Counts(counted=100, duplicates=1, conflicts=1, refused=1)
BALANCED = {"entries": 103, **EXPECTED._asdict(), "on_the_way": 0, "unexplained": 0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Lake(tmp_path / "lake").create()
    return tmp_path / "lake"


def land(
    root: Path | Store, rows: list[dict[str, Any]] = MIXED, *, batch: int = 10, commit_entries: int = 25
) -> Counts:
    total = Counts()
    worker = Land(
        Lake(root), MemoryLog(partition(rows), batch=batch), catalog_sha256="c", now=now, commit_entries=commit_entries
    )
    for landed in worker.run():
        total = total.plus(landed.counts)
    return total


def assert_landed(worker: Land) -> None:
    assert worker.step() is not None


def stored(root: Path) -> dict[str, int]:
    proof = prove(Lake(root))
    assert proof.problems == []
    return proof.totals()


def test_everything_has_one_outcome_and_the_books_balance(root: Path) -> None:
    """Entries in = counted + duplicates + conflicts + refused, in what is told and in what is stored."""
    assert land(root) == EXPECTED
    assert stored(root) == BALANCED


class SlowLake(Lake):
    """A lake in which time passes, by a clock of the test, while a commit is written."""

    def __init__(self, root: Path, *, commit_s: int) -> None:
        super().__init__(root)
        self.now_s = 0
        self._commit_s = commit_s

    def write(self, shape: TableShape, rows: pa.Table, day: date | None = None) -> Part:
        self.now_s += self._commit_s if shape == READS else 0
        return super().write(shape, rows, day)


@pytest.mark.parametrize(("commit_s", "batches"), [(0, [11, 11, 11]), (3, [11, 8, 8]), (60, [11, 6, 6])])
def test_the_time_of_a_batch_includes_the_commit_before_it(root: Path, commit_s: int, batches: list[int]) -> None:
    """Entries come while a commit is written. An alert on them would otherwise wait for it and for a whole batch.

    An entry takes a second here. However long commits take, half of the time is for reading, or they would be tiny.
    """
    lake = SlowLake(root, commit_s=commit_s)

    class Slowly(MemoryLog):
        def poll(self) -> Fetched | None:
            lake.now_s += 1
            return super().poll()

    log = Slowly(partition(ROWS), batch=1)
    worker = Land(lake, log, catalog_sha256="c", now=now, commit_s=10, clock=lambda: lake.now_s)
    assert [landed.counts.counted for _ in batches if (landed := worker.step())] == batches


def test_a_lake_may_lie_in_any_folder(tmp_path: Path) -> None:
    """Spaces, signs and letters that a URI has to encode are part of people's paths."""
    root = tmp_path / "März 2026 #1 (neu)?" / "lake"
    root.parent.mkdir()
    Lake(root).create()
    land(root, MIXED[:70])
    land(root)
    assert stored(root) == BALANCED


def test_a_second_run_reads_nothing_and_a_longer_log_its_end(root: Path) -> None:
    """The lake's offset is the only memory."""
    land(root, MIXED[:70])
    assert land(root, MIXED[:70]) == Counts()
    land(root, MIXED)
    assert stored(root)["entries"] == 103


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param(writes, marks=long_only), commits])
def test_death_between_any_two_steps_costs_nothing(tmp_path: Path, step: Callable[[Operation], bool]) -> None:
    """Before any file and any commit, of events and of every derived table: the next run ends with the same books."""
    deaths = 0
    for call in range(1, 100):
        root = tmp_path / str(call)
        Lake(root).create()
        try:
            land(FaultyStore(LocalStore(root), call, counted=step))
        except Killed:
            deaths += 1
        else:
            break  # there are fewer such steps: every place to die was tried
        land(root)
        assert stored(root) == BALANCED, f"death before {step.__name__} {call}"
    assert deaths >= 8


@pytest.mark.slow
@settings(max_examples=50 if LONG else 5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deaths=st.lists(st.tuples(st.sampled_from([writes, commits]), st.integers(1, 12)), max_size=5),
    cut=st.integers(3, 60),
)
def test_any_sequence_of_deaths_and_cuts_gives_the_same_lake(
    tmp_path_factory: pytest.TempPathFactory, deaths: list[tuple[Callable[[Operation], bool], int]], cut: int
) -> None:
    """Seeded simulation of the protocol: several lives, each with other batch sizes."""
    root = tmp_path_factory.mktemp("lake") / "lake"
    Lake(root).create()
    for step, call in deaths:
        with suppress(Killed):
            land(FaultyStore(LocalStore(root), call, counted=step), batch=cut % 7 + 1, commit_entries=cut)
    land(root, batch=cut, commit_entries=cut * 2)
    assert stored(root) == BALANCED


def test_a_zombie_is_fenced_and_its_rows_are_nowhere(root: Path) -> None:
    """A worker that slept while another took over its partition must not commit, and the books stay whole."""
    sleeper = Land(Lake(root), MemoryLog(partition(MIXED), batch=10), catalog_sha256="c", now=now, commit_entries=25)
    waking = sleeper.run()
    next(waking)
    land(root)
    with pytest.raises(Fenced):
        next(waking)
    assert stored(root)["counted"] == 100


def test_two_workers_on_one_partition_of_events_fence_each_other_whatever_they_read(root: Path) -> None:
    """Identities are told by partition: two that read different files at once would both count a line that stands in
    both.
    """
    first, second = (
        Land(Lake(root), MemoryLog(partition(ROWS, name), batch=10), catalog_sha256="c", now=now, commit_entries=25)
        for name in ("one", "two")
    )
    assert first.step() is not None
    with pytest.raises(Fenced):
        second.step()
    first.settle()
    assert stored(root)["counted"] == 30


def test_what_another_worker_commits_at_the_same_moment_is_not_taken_for_ones_own(root: Path) -> None:
    """Just after a commit another worker may commit, too: each sum belongs to its own version."""
    store = FaultyStore(
        LocalStore(root), 1, lambda: assert_landed(workers[1]), when="after", counted=commits_to("events")
    )
    workers = [
        Land(
            Lake(root if n else store),
            MemoryLog(partition(rows, name, number=n), batch=10),
            catalog_sha256="c",
            now=now,
            commit_entries=25,
        )
        for n, (rows, name) in enumerate(((ROWS[:50], "one"), (ROWS[50:], "two")))
    ]
    assert [landed.version for landed in workers[0].run()] == [1, 3]
    list(workers[1].run())
    assert stored(root)["counted"] == 100


def test_a_gap_in_the_log_halts(root: Path) -> None:
    """Offsets are never jumped over: what is missing is named."""

    class Gapped(MemoryLog):
        polls = 0

        def poll(self) -> Fetched | None:
            fetched = super().poll()
            self.polls += 1
            return fetched and fetched._replace(from_offset=fetched.from_offset + self.polls // 4)

    with pytest.raises(LakeError, match=r"continues at 30, but the log at 31.*restore the missing part"):
        list(Land(Lake(root), Gapped(partition(MIXED), batch=10), catalog_sha256="c", now=now, commit_entries=20).run())
    assert DeltaTable(root / "events").version() == 1


def test_derived_tables_catch_up_from_events_not_from_the_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a death before the commits of derived tables the log may be gone: events know everything."""
    with monkeypatch.context() as patch:
        patch.setattr(landing.derived_commits, "catch_up", lambda *_: None)
        land(root)
    assert DeltaTable(root / "rollups").version() == 0
    behind = prove(Lake(root))
    assert (behind.problems, behind.totals()["entries"]) == ([], 0)
    assert behind.commits_on_the_way == DeltaTable(root / "events").version()
    assert land(root, []) == Counts()
    assert stored(root) == BALANCED


def test_the_first_copy_wins_in_log_order_over_partitions(root: Path) -> None:
    """First means first landed, by partition and offset."""
    log = partition([event("x", status=200)], "one") | partition([event("x", status=404)], "two")
    total = [landed.counts for landed in Land(Lake(root), MemoryLog(log), catalog_sha256="c", now=now).run()]
    assert total == [Counts(counted=1, conflicts=1)]
    letters = DeltaTable(root / "dead").to_pyarrow_table().to_pylist()
    assert [(r["generation"], r["reason"], r["outcome"]) for r in letters] == [("two", "ID_CONFLICT", "conflict")]
    (text,) = DeltaTable(root / "texts").to_pyarrow_table().to_pylist()
    assert b"404" in text["raw"]


def test_a_partition_without_entries_moves_its_offset(root: Path) -> None:
    """Blank lines: nothing to count, and nothing to read again."""
    where = Partition("edge", "g", "g.log")
    events, refused = partition([])[where]

    class Blank(MemoryLog):
        given = False

        def poll(self) -> Fetched | None:
            if self.given:
                return None
            self.given = True
            return Fetched(where, 0, 40, events, refused, [Origin("g", 0, 40)])

    assert len(list(Land(Lake(root), Blank({where: (events, refused)}), catalog_sha256="c", now=now).run())) == 1
    assert DeltaTable(root / "events").transaction_version(where.app_id) == 40


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("harm", ["lose", "double", "alter"])
def test_the_proof_bites(root: Path, harm: str) -> None:
    """An event lost, doubled or altered behind the protocol's back is noticed."""
    land(root)
    table = Lake(root).open(EVENTS)
    rows = [event("e5", T0_US + 5 * DAY_US // 50, position=5)]
    shape = ROLLUPS if harm == "alter" else EVENTS
    if harm == "lose":
        DeltaTable(root / "events").delete("event_id = 'e5'")
    elif harm == "double":
        extra = next(iter(partition(rows).values()))[0]
        extra = extra.append_column("events_partition", pa.array([0], pa.int16()))
        extra = extra.append_column("landed_in", pa.nulls(1, pa.int64()))
        table.commit(
            [Lake(root).write(EVENTS, extra, extra["occurred_at"][0].as_py().date())],
            versions={},
            info={},
        )
        land(root, [])  # until the other tables have followed it, a commit is on its way
    else:
        DeltaTable(root / shape.name).update(
            {"requests": "requests + 1"}, predicate="window_start < '2026-10-01T00:30:00Z'"
        )
    assert prove(Lake(root)).problems != []


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("table", ["events", "rollups", "reads"])
@pytest.mark.parametrize("harm", ["empty", "missing", "no offsets", "half a line"])
def test_a_cut_commit_is_found_at_start(root: Path, harm: str, table: str) -> None:
    """A lake whose newest commit is damaged is not appended to, whichever table it is: a derived table would add
    rows twice.
    """
    land(root)
    land(root, [*MIXED, event("later", position=103)])
    entries = sorted((root / table / "_delta_log").glob("*.json"))
    if harm == "empty":
        entries[-1].write_text("")
    elif harm == "missing":
        entries[-2].unlink()
    elif harm == "half a line":
        entries[-1].write_text(entries[-1].read_text()[:-40])
    else:
        lines = entries[-1].read_text().splitlines()
        entries[-1].write_text("\n".join(x for x in lines if '"txn"' not in x) + "\n")
    with pytest.raises(LakeError, match="restore"):
        land(root)
