"""Settlement: an identity counts once however far apart its entries lie, whatever dies when, and whoever writes
meanwhile.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregate.landing import settlement
from aggregate.landing.land import Land
from aggregate.landing.settlement import SettlementResult, settle
from aggregate.verify import prove
from billing.usage.warehouse import Warehouse
from lake.errors import Damaged, Fenced
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from schemas.log import Partition
from schemas.tables import ALL, DEAD, EVENTS, FRESH_EVENTS, WITHDRAWN
from tests.aggregate.fixtures import DAY_US, PLAIN, T0_US, event, now, partition
from tests.aggregate.memory_log import MemoryLog
from tests.lake.faulty import FaultyStore, Killed, Operation, commits, commits_to, writes
from tests.long import LONG, long_only
from tests.tollbook.fixtures import table_rows

pytestmark = pytest.mark.integration


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Lake(tmp_path / "lake").create()
    return tmp_path / "lake"


def on(day: float, event_id: str, **changes: Any) -> dict[str, Any]:
    return event(event_id, T0_US + int(day * DAY_US), **changes)


def land(
    root: Path | Store, generation: str, *rows: dict[str, Any], number: int = 0, commit_entries: int = 1000
) -> Land:
    """Rows as one log of their own."""
    log = MemoryLog(partition(list(rows), generation, number=number))
    worker = Land(Lake(root), log, catalog_sha256="c", now=now, commit_entries=commit_entries)
    for _ in worker.run():
        pass
    return worker


def versions(root: Path) -> dict[str, int]:
    return {name: Lake(root).open(shape).version for name, shape in ALL.items()}


def counted(root: Path) -> dict[str, int]:
    """What counts by events: id → days since the first.

    The rollups are proved to be its sums, and the books to balance.
    """
    proof = prove(Lake(root))
    assert proof.problems == []
    house = Warehouse(Lake(root))
    rows = house.con.sql("SELECT event_id, epoch_us(occurred_at) AS at FROM events ORDER BY ALL").to_arrow_table()
    assert proof.totals()["counted"] == rows.num_rows
    (stated,) = house.query("completeness").to_pylist() or [{"counted": 0, "unexplained": 0}]
    assert (stated["counted"], stated["unexplained"]) == (rows.num_rows, 0)
    return {row["event_id"]: (row["at"] - T0_US) // DAY_US for row in rows.to_pylist()}


@pytest.mark.slow
def test_an_id_that_comes_again_days_later_counts_once_and_the_first_landed_stays(root: Path) -> None:
    """By what was landed first, not by what happened first; the later one is a conflict that a person can read."""
    land(root, "g", on(0, "a"), on(9, "late", status=500))
    land(root, "h", on(5, "a"), on(1, "late"), on(5, "b"))
    assert [problem.partition(";")[0] for problem in prove(Lake(root)).problems] == [
        "event a of source edge is counted 2 times",
        "event late of source edge is counted 2 times",
    ]
    assert settle(Lake(root), now=now) == SettlementResult(recent=5, earlier=0, withdrawn=2, version=2)
    assert counted(root) == {"a": 0, "late": 9, "b": 5}
    totals = prove(Lake(root)).totals()
    assert (totals["entries"], totals["counted"], totals["conflicts"]) == (5, 3, 2)
    columns = "event_id, generation, position, kept_generation, kept_position, settlement"
    assert [tuple(row.values()) for row in table_rows(root, "withdrawn", f"SELECT {columns} FROM t ORDER BY ALL")] == [
        ("a", "h", 0, "g", 0, 1),
        ("late", "h", 1, "g", 1, 1),
    ]
    letters = "SELECT outcome, reason, source, generation, position, item, partner_id FROM t ORDER BY position"
    assert [tuple(row.values()) for row in table_rows(root, "dead", letters)] == [
        ("conflict", "ID_CONFLICT", "edge", "h", 0, 0, "acme"),
        ("conflict", "ID_CONFLICT", "edge", "h", 1, 0, "acme"),
    ]
    texts = table_rows(root, "texts", "FROM t ORDER BY position")
    assert [row["event_id"] for row in texts] == ["a", "late"]
    assert all("was landed before" in row["detail"] and b'"response_bytes": 100' in row["raw"] for row in texts)


def test_a_repeat_writes_nothing_and_only_what_is_new_is_recent(root: Path) -> None:
    """A close that is repeated has the same versions, and so the same name."""
    land(root, "g", on(0, "a"), on(0, "b"))
    assert settle(Lake(root), now=now).recent == 2
    before = versions(root)
    assert settle(Lake(root), now=now) == SettlementResult(0, 0, 0, 1)
    assert versions(root) == before
    land(root, "h", on(5, "a"), on(40, "c"))
    assert settle(Lake(root), now=now) == SettlementResult(recent=2, earlier=2, withdrawn=1, version=2)
    before = versions(root)
    assert settle(Lake(root), now=now) == SettlementResult(0, 0, 0, 3)
    assert versions(root) == before
    assert not (root / ".settlement").exists()
    assert counted(root) == {"a": 0, "b": 0, "c": 40}


def test_an_empty_lake_is_settled(root: Path) -> None:
    """Nothing was landed: nothing is written."""
    before = versions(root)
    assert settle(Lake(root), now=now) == SettlementResult(0, 0, 0, 0)
    assert versions(root) == before


@pytest.mark.slow
def test_a_resend_of_what_was_taken_out_does_not_count(root: Path) -> None:
    """Its own day knows it still; so it is a duplicate or a conflict where it was landed, and nothing for the next
    settlement.
    """
    land(root, "g", on(0, "a"))
    land(root, "h", on(5, "a"))
    settle(Lake(root), now=now)
    land(root, "i", on(5, "a"), on(5, "a", status=500), on(6, "a"), on(0, "a"))
    assert settle(Lake(root), now=now).withdrawn == 0
    assert counted(root) == {"a": 0}
    totals = prove(Lake(root)).totals()
    assert (totals["duplicates"], totals["conflicts"]) == (2, 3)
    land(root, "j", on(20, "a"))
    assert settle(Lake(root), now=now) == SettlementResult(recent=1, earlier=1, withdrawn=1, version=5)
    assert counted(root) == {"a": 0}


@pytest.mark.slow
def test_partitions_that_do_not_know_each_other_are_compared(root: Path) -> None:
    """A file and a topic brought the same event into one lake: each land worker knows the ids of its own partition
    alone.
    """
    land(root, "g", on(0, "a"))
    land(root, "h", on(0, "a"), on(0, "b"), number=3)
    assert settle(Lake(root), now=now).withdrawn == 1
    assert counted(root) == {"a": 0, "b": 0}
    assert [row["events_partition"] for row in table_rows(root, "withdrawn")] == [3]


def test_sources_have_ids_of_their_own(root: Path) -> None:
    """An identity is a source and an id."""
    land(root, "g", on(0, "a"))
    rows = partition([on(5, "a")], "h", source="other")
    for _ in Land(Lake(root), MemoryLog(rows), catalog_sha256="c", now=now).run():
        pass
    assert settle(Lake(root), now=now).withdrawn == 0
    assert prove(Lake(root)).problems == []


# Memory.


@pytest.mark.slow
def test_memory_is_bounded_by_the_rows_that_are_held(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many more identities than fit at a time: no batch and no bucket is much larger than was allowed."""
    ids = [f"e{n}" for n in range(2_000)]
    land(root, "g", *(on(0, name) for name in ids), commit_entries=300)
    settle(Lake(root), now=now)
    land(root, "h", *(on(9, name) for name in ids[:900]), *(on(9, f"new{n}") for n in range(600)))
    held: list[int] = []
    read, add = settlement._read, settlement._Buckets.add

    def reading(path: Path) -> pa.Table:
        rows = read(path)
        held.append(rows.num_rows)
        return rows

    def adding(buckets: Any, batch: pa.RecordBatch) -> None:
        held.append(batch.num_rows)
        add(buckets, batch)

    monkeypatch.setattr(settlement, "_read", reading)
    monkeypatch.setattr(settlement._Buckets, "add", adding)
    done = settle(Lake(root), now=now, bucket_rows=100, commit_events=250)
    assert done == SettlementResult(recent=1_500, earlier=2_000, withdrawn=900, version=done.version)
    assert len(held) >= 30
    assert max(held) <= 200
    assert counted(root) == {**dict.fromkeys(ids, 0), **{f"new{n}": 9 for n in range(600)}}


def test_earlier_identities_that_cannot_meet_a_recent_one_are_not_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year of them beside one new event: what is on disk follows what is new."""
    land(root, "g", *(on(0, f"e{n}") for n in range(5_000)))
    settle(Lake(root), now=now)
    land(root, "h", on(9, "e7"))
    sizes: list[int] = []
    add = settlement._Buckets.add

    def adding(buckets: Any, batch: pa.RecordBatch) -> None:
        sizes.append(batch.num_rows)
        add(buckets, batch)

    monkeypatch.setattr(settlement._Buckets, "add", adding)
    assert settle(Lake(root), now=now).withdrawn == 1
    assert sum(sizes) < 2_000


def test_buckets_lie_where_they_are_told_and_are_gone_afterwards(root: Path, tmp_path: Path) -> None:
    """Those of a settlement that died as well."""
    land(root, "g", on(0, "a"))
    left = tmp_path / "elsewhere" / ".settlement" / "000000.arrows"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of one that died")
    settle(Lake(root), now=now, folder=tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Ids that were derived from where the entry stood.


def derived(root: Path, generation: str, day: float, at: int = 0) -> None:
    """One event at an offset of a log, under the id that it has for that; what stands before it is refused."""
    place = Partition("edge", generation, f"{generation}.log")
    row = on(day, f"@{generation}:{at}", generation=generation, position=at)
    rows = pa.Table.from_pylist([row], PLAIN).cast(FRESH_EVENTS), DEAD.schema.empty_table()
    for _ in Land(Lake(root), MemoryLog({place: rows}), catalog_sha256="c", now=now).run():
        pass


def test_derived_ids_need_no_comparison(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most logs have no ids but those: then nothing is written to disk at all."""
    for day, generation in enumerate(("g", "h", "i")):
        derived(root, generation, day * 5)
    monkeypatch.setattr(settlement, "_Buckets", None)
    assert settle(Lake(root), now=now) == SettlementResult(recent=3, earlier=0, withdrawn=0, version=3)
    derived(root, "j", 30)
    assert settle(Lake(root), now=now) == SettlementResult(recent=1, earlier=3, withdrawn=0, version=4)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("imitation", ["first", "last"])
def test_an_id_that_only_looks_derived_dodges_nothing_and_hits_nobody(
    root: Path, imitation: str, settled: bool
) -> None:
    """Whoever sends ids of that form is compared, and it is always the imitation that is taken out, also if it was
    first.
    """

    def imitate() -> None:
        land(root, "feed", on(0, "x"), on(0, "@g:0"), on(0, "@other:5"))

    steps = [imitate, lambda: derived(root, "g", 20)]
    for step in steps if imitation == "first" else reversed(steps):
        step()
        if settled:
            settle(Lake(root), now=now)
    settle(Lake(root), now=now)
    assert counted(root) == {"x": 0, "@other:5": 0, "@g:0": 20}
    (taken,) = table_rows(root, "withdrawn")
    assert (taken["generation"], taken["kept_generation"]) == ("feed", "g")


def test_ids_that_look_derived_meet_each_other(root: Path) -> None:
    """A second load of a file into a topic brings the ids of the file again, in other records; nothing but the id
    says so.
    """
    land(root, "topic/0@id", on(0, "@file:10"), on(0, "@file:20"))
    land(root, "topic/1@id", on(7, "@file:20"), on(7, "@file:30"), number=1)
    assert settle(Lake(root), now=now).withdrawn == 1
    assert counted(root) == {"@file:10": 0, "@file:20": 0, "@file:30": 7}


# What dies, and who writes meanwhile.


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param(writes, marks=long_only), commits])
@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=long_only)])
def test_death_between_any_two_steps_costs_nothing(
    root: Path, tmp_path: Path, step: Callable[[Operation], bool], when: str
) -> None:
    """Before or behind any file and any commit, of events and of every derived table: the next settlement ends with
    the same lake.
    """
    land(root, "g", *(on(0, name) for name in "abcd"))
    land(root, "h", *(on(20, name) for name in "abc"), on(40, "new"))
    deaths = 0
    for call in range(1, 100):
        copy = Path(shutil.copytree(root, tmp_path / str(call)))
        try:
            settle(
                Lake(FaultyStore(LocalStore(copy), call, when=when, counted=step)),
                now=now,
                commit_events=2,
                bucket_rows=4,
            )
        except Killed:
            deaths += 1
        else:
            break
        settle(Lake(copy), now=now)
        assert counted(copy) == {"a": 0, "b": 0, "c": 0, "d": 0, "new": 40}, f"death {when} {step.__name__} {call}"
        assert len(table_rows(copy, "withdrawn")) == 3
        before = versions(copy)
        settle(Lake(copy), now=now)
        assert versions(copy) == before
    assert deaths >= 7


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("at", ["events", "withdrawn", "rollups"])
def test_a_run_completes_what_a_dead_settlement_has_committed(root: Path, at: str) -> None:
    """Tables follow the commit as they follow those of land: by whoever comes next."""
    land(root, "g", on(0, "a"))
    land(root, "h", on(5, "a"))
    with pytest.raises(Killed):
        settle(Lake(FaultyStore(LocalStore(root), 1, when="after", counted=commits_to(at))), now=now)
    land(root, "i", on(5, "b"))
    assert counted(root) == {"a": 0, "b": 5}
    assert settle(Lake(root), now=now).withdrawn == 0


def test_land_begins_again_after_a_settlement(root: Path) -> None:
    """Its running totals hold what was taken out: its commit is refused, and its successor sums up from the lake."""
    rows = [on(0, "a"), on(5, "a"), on(5, "b")]
    worker = Land(Lake(root), MemoryLog(partition(rows), batch=1), catalog_sha256="c", now=now, commit_entries=1)
    assert worker.step()
    land(root, "h", on(9, "a"))  # by another log
    settle(Lake(root), now=now)
    with pytest.raises(Fenced):
        worker.step()
    land(root, "g", *rows)
    settle(Lake(root), now=now)
    assert counted(root) == {"a": 0, "b": 5}


def test_an_idle_land_worker_notices_a_settlement(root: Path) -> None:
    """Nothing comes, and quota must hear of it all the same."""
    worker = land(root, "g", on(0, "a"))
    land(root, "h", on(9, "a"))
    settle(Lake(root), now=now)
    with pytest.raises(Fenced, match="settlement"):
        worker.step()


@pytest.mark.slow
def test_a_settlement_beside_land_at_work_is_not_kept_out(root: Path) -> None:
    """Land commits between reading and committing: what it counts now is later than all that stays, and is compared
    the next time.
    """
    land(root, "g", on(0, "a"))
    land(root, "h", on(5, "a"))
    store: Store = LocalStore(root)
    for n in range(3, 0, -1):  # the first of them comes before the first try to commit, the next before the second

        def overtake(n: int = n) -> None:
            land(root, f"beside{n}", on(9 + 5 * n, "a"), on(9, f"b{n}"))

        store = FaultyStore(store, n, overtake, counted=commits_to("events"))
    assert settle(Lake(store), now=now).withdrawn == 1
    assert settle(Lake(root), now=now) == SettlementResult(recent=6, earlier=1, withdrawn=3, version=6)
    assert counted(root) == {"a": 0, "b1": 9, "b2": 9, "b3": 9}


def test_of_two_settlements_at_once_one_takes_it_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines, so no lock: the second is fenced, looks again, and finds nothing."""
    land(root, "g", on(0, "a"), on(0, "b"))
    land(root, "h", on(5, "a"), on(5, "b"))
    monkeypatch.setattr(Lake, "lock", lambda *_, **__: nullcontext())

    def another() -> None:
        assert settle(Lake(root), now=now, folder=root.parent).withdrawn == 2

    store = FaultyStore(LocalStore(root), 1, another, counted=commits_to("events"))
    assert settle(Lake(store), now=now).withdrawn == 0
    assert store.struck
    assert len(table_rows(root, "withdrawn")) == 2
    assert counted(root) == {"a": 0, "b": 0}


# Lakes of before, and harm.


@pytest.mark.slow
def test_a_lake_that_was_made_before_there_was_the_table_is_read_and_settled(root: Path) -> None:
    """Until the first write it has no such table; whoever reads it finds nothing withdrawn, and whoever writes makes
    it.
    """
    land(root, "g", on(0, "a"), on(0, "b"))
    shutil.rmtree(root / "withdrawn")
    assert counted(root) == {"a": 0, "b": 0}
    assert not (root / "withdrawn").exists()
    land(root, "h", on(5, "a"))
    assert (root / "withdrawn").exists()
    shutil.rmtree(root / "withdrawn")
    assert settle(Lake(root), now=now).withdrawn == 1
    assert counted(root) == {"a": 0, "b": 0}


@pytest.mark.slow
def test_versions_from_before_a_settlement_are_what_they_were(root: Path) -> None:
    """A close of before names no version of the table, one of today its version: both give what they gave."""
    land(root, "g", on(0, "a"))
    land(root, "h", on(5, "a"))
    today = Warehouse(Lake(root)).versions
    older = {name: version for name, version in today.items() if name != "withdrawn"}
    settle(Lake(root), now=now)

    def rows(given: Mapping[str, int] | None) -> int:
        return Warehouse(Lake(root), given).con.table("events").to_arrow_table().num_rows

    assert (rows(today), rows(older), rows(None)) == (2, 2, 1)
    for given_ in (today, older):
        assert [text.partition(";")[0] for text in prove(Lake(root), given_).problems] == [
            "event a of source edge is counted 2 times"
        ]


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("harm", ["twice", "the first as well", "no conflict", "never landed", "lost"])
def test_the_proof_notices_what_was_withdrawn_wrongly(root: Path, harm: str) -> None:
    """Behind the protocol's back: rows of the table that no settlement would have written, or that are gone."""
    land(root, "g", on(0, "a"), on(0, "b"))
    land(root, "h", on(5, "a"))
    settle(Lake(root), now=now)
    (row,) = table_rows(root, "withdrawn")
    rows = {
        "twice": [row],
        "the first as well": [row | {"generation": "g", "position": 0}],
        "no conflict": [row | {"event_id": "b", "generation": "g", "position": 1}],
        "never landed": [row | {"event_id": "z", "position": 7}],
    }
    if harm == "lost":
        shutil.rmtree(root / "withdrawn")
    else:
        part = Lake(root).write(WITHDRAWN, pa.Table.from_pylist(rows[harm], WITHDRAWN.schema))
        Lake(root).open(WITHDRAWN).commit([part], versions={}, info={})
    found = prove(Lake(root))
    checks = {check.name for check in found.checks if check.problems}
    if harm == "lost":
        assert {"all tables have followed events", "no identity is counted twice"} <= checks
    else:
        assert "each withdrawn event has another of its identity that counts" in checks


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_file_is_named_and_nothing_is_written(root: Path, harm: str) -> None:
    """It is the disk's fault, not a bug: file and remedy are told, and no identity counts as compared."""
    land(root, "g", on(0, "a"))
    land(root, "h", on(5, "a"))
    file = Path(Lake(root).files(EVENTS)[0])
    whole = file.read_bytes()
    if harm == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    else:
        file.unlink()
    before = versions(root)
    with pytest.raises(Damaged, match=file.name):
        settle(Lake(root), now=now)
    assert versions(root) == before
    assert not (root / ".settlement").exists()
    file.write_bytes(whole)
    assert settle(Lake(root), now=now).withdrawn == 1
    assert counted(root) == {"a": 0}


@pytest.mark.slow
def test_the_negative_sums_are_those_of_the_event_whatever_its_size(root: Path) -> None:
    """An event of a terabyte has a row of its own in rollups; so has what takes it away."""
    large = {"response_bytes": 3 * 10**12, "request_bytes": None, "latency_us": None}
    land(root, "g", on(0, "a", **large), on(5, "c"))
    land(root, "h", on(5, "a", **large), on(5, "b", **large))
    settle(Lake(root), now=now)
    assert counted(root) == {"a": 0, "b": 5, "c": 5}
    sums = "SELECT sum(requests)::BIGINT AS n, sum(response_bytes)::BIGINT AS b FROM t"
    assert table_rows(root, "rollups", sums) == [{"n": 3, "b": 6 * 10**12 + 100}]


# Whatever comes in whatever order.

IDS = ["a", "b", "c", "d"]
SENT = st.tuples(st.sampled_from(IDS), st.sampled_from([0, 1, 2, 5, 6, 31, 62]), st.sampled_from([200, 500]))
STEPS = st.lists(
    st.lists(SENT, min_size=1, max_size=6) | st.tuples(st.sampled_from([None, writes, commits]), st.integers(1, 12)),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=150 if LONG else 8, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_of_each_identity_the_first_landed_counts(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Random logs with ids that come again minutes, days and months later; settlements in between, some of which die
    anywhere.

    Against a dictionary: identity → the first that was landed.
    """
    root = tmp_path_factory.mktemp("lake") / "lake"
    Lake(root).create()
    first: dict[str, tuple[int, int]] = {}
    entries = 0
    for n, step in enumerate(steps):
        if isinstance(step, list):
            land(root, f"g{n}", *(on(day, name, status=status) for name, day, status in step), commit_entries=2)
            entries += len(step)
            for name, day, status in step:
                first.setdefault(name, (day, status))
        else:
            counts, call = step
            store = FaultyStore(LocalStore(root), call, counted=counts) if counts else LocalStore(root)
            try:
                settle(Lake(store), now=now, bucket_rows=2, commit_events=2)
            except Killed:
                continue
            assert counted(root) == {name: day for name, (day, _) in first.items()}
    settle(Lake(root), now=now)
    assert counted(root) == {name: day for name, (day, _) in first.items()}
    house = Warehouse(Lake(root))
    statuses = house.con.sql("SELECT event_id, status FROM events").fetchall()
    assert dict(statuses) == {name: status for name, (_, status) in first.items()}
    assert prove(Lake(root)).totals()["entries"] == entries
