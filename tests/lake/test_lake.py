"""The lake and its tables, the same over local files and over memory: commits are durable, fenced, and never half
there.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake import duck
from lake.damage import read
from lake.delta.entries import entry_key
from lake.errors import Damaged, Fenced, LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.memory import MemoryStore
from lake.storage.store import Store
from lake.tables import MARKER, file_schema
from schemas import tables
from schemas.tables import DUPLICATES, EVENTS, PAYLOADS
from tests.lake.faulty import FaultyStore, Operation, commits_to


def row(event_id: str) -> pa.Table:
    return pa.Table.from_pylist(
        [{"source": "s", "event_id": event_id, "partner_id": "p", "position": 0, "item": 0}], DUPLICATES.schema
    )


MAKERS: dict[str, Callable[[Path], Store]] = {
    "local": lambda folder: LocalStore(folder / "lake"),
    "memory": lambda _: MemoryStore(),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    make: Callable[[Path], Store] = request.param
    made = make(tmp_path)
    Lake(made).create()
    return made


@pytest.fixture
def lake(store: Store) -> Lake:
    return Lake(store)


def counted(lake: Lake) -> list[str]:
    """The ids in table `duplicates`, as DuckDB reads its files."""
    con = duck.connect()
    duck.scan(con, "t", lake.files(DUPLICATES), DUPLICATES)
    return duck.ask(con, "SELECT event_id FROM t ORDER BY ALL")["event_id"].to_pylist()  # type: ignore[no-any-return]


# Making a lake.


def test_a_new_lake_has_all_its_tables_and_making_it_again_changes_nothing(store: Store, lake: Lake) -> None:
    """Safe to repeat."""
    before = [(found.key, store.read(found.key)) for found in store.listing()]
    lake.create()
    assert [(found.key, store.read(found.key)) for found in store.listing()] == before
    assert {lake.open(shape).version for shape in tables.ALL.values()} == {0}


def test_a_lake_whose_making_was_cut_short_is_completed(store: Store, lake: Lake) -> None:
    """A kill among the tables must not leave a lake that nothing can use."""
    for found in list(store.listing("reads/")):
        store.delete(found.key)
    lake.create()
    assert lake.open(tables.READS).version == 0


@pytest.mark.parametrize("key", ["precious.txt", "deep/below/file", ".git/config"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_foreign_place_is_refused_and_left_alone(make: Callable[[Path], Store], tmp_path: Path, key: str) -> None:
    """Nobody's data is written over."""
    store = make(tmp_path)
    store.create(key, b"mine")
    with pytest.raises(LakeError, match="is not empty and is not a Tollbook lake"):
        Lake(store).create()
    assert [found.key for found in store.listing()] == [key]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_missing_lake_is_named_with_the_remedy(make: Callable[[Path], Store], tmp_path: Path) -> None:
    """One clear line, and nothing is made."""
    store = make(tmp_path)
    with pytest.raises(
        LakeError, match=r"^`.*` is not a Tollbook lake: `tollbook-lake.json` is missing\. Run `tollbook run --lake "
    ):
        Lake(store).files(DUPLICATES)
    assert list(store.listing()) == []


@pytest.mark.parametrize(
    ("marker", "words"),
    [(b"{", "is damaged"), (b'{"format": 1}', "has lake format 1"), (b'{"format": 4}', "upgrade tollbook")],
)
def test_a_lake_of_another_format_is_refused(store: Store, lake: Lake, marker: bytes, words: str) -> None:
    store.replace(MARKER, marker)
    with pytest.raises(LakeError, match=words):
        lake.open(DUPLICATES)


# Commits.


def test_rows_and_versions_come_in_one_commit(lake: Lake) -> None:
    """The next offset is in the commit that holds the rows, twice: as transaction version and in the commit's info."""
    table = lake.open(DUPLICATES)
    part = lake.write(DUPLICATES, row("a"))
    assert lake.files(DUPLICATES) == []
    fresh = table.commit([part], versions={"land/s/g": 7}, info={"next": 7})
    assert fresh.transaction_version("land/s/g") == 7
    assert lake.commit_info(DUPLICATES, fresh.version) == {"next": 7}
    assert lake.commit_versions(DUPLICATES, fresh.version) == {"land/s/g": 7}
    assert lake.files(DUPLICATES) == lake.added_files(DUPLICATES, fresh.version) == fresh.files()
    assert counted(lake) == ["a"]
    assert lake.open(DUPLICATES, 0).files() == []


def test_a_file_is_read_by_its_address(lake: Lake) -> None:
    """By DuckDB with the others, with its partition, and alone."""
    rows = pa.Table.from_pylist([{"source": "s", "event_id": "é"}], file_schema(EVENTS))
    part = lake.write(EVENTS, rows, date(2026, 10, 3))
    table = lake.open(EVENTS).commit([part], versions={"a": 1}, info={})
    (file,) = table.files()
    con = duck.connect()
    duck.scan(con, "events", [file], EVENTS)
    found = duck.ask(con, "SELECT source, event_id, event_day FROM events").to_pylist()
    assert found == [{"source": "s", "event_id": "é", "event_day": date(2026, 10, 3)}]
    assert read(file, ["event_id"]).to_pylist() == [{"event_id": "é"}]
    assert lake.size(file) == part.size_bytes
    assert file == lake.address(EVENTS, part.path)


def test_what_opening_finds_is_what_committing_returned(lake: Lake) -> None:
    """Over checkpoints, too."""
    table = lake.open(DUPLICATES)
    for n in range(60):
        table = table.commit([], versions={f"app {n % 7}": n}, info={})
        if n % 20 == 0:
            assert lake.open(DUPLICATES).snapshot.apps == table.snapshot.apps
    assert lake.open(DUPLICATES).snapshot.apps == table.snapshot.apps
    assert lake.open(DUPLICATES).snapshot.checkpoint == 50
    assert lake.history(DUPLICATES).apps == table.snapshot.apps
    lake.check_log(DUPLICATES)


def test_a_writer_with_an_old_snapshot_is_fenced(lake: Lake) -> None:
    """Two workers own one partition: the slower one must not add its rows, whatever offset it brings."""
    mine, zombies = lake.open(DUPLICATES), lake.open(DUPLICATES)
    mine.commit([lake.write(DUPLICATES, row("a"))], versions={"land/s/g": 7}, info={})
    for offset in (5, 7, 9):
        with pytest.raises(Fenced, match="another writer has moved land/s/g"):
            zombies.commit([lake.write(DUPLICATES, row("b"))], versions={"land/s/g": offset}, info={})
    assert counted(lake) == ["a"]
    assert not lake.is_newest(zombies)


def test_an_idempotent_writer_sees_its_own_version(lake: Lake) -> None:
    """Whoever opens the table again knows how far it had come, and repeats nothing."""
    for _ in range(3):
        table = lake.open(DUPLICATES)
        if (table.transaction_version("once") or 0) < 1:
            table.commit([lake.write(DUPLICATES, row("a"))], versions={"once": 1}, info={})
    assert counted(lake) == ["a"]


def test_writers_of_different_partitions_do_not_disturb_each_other(lake: Lake) -> None:
    """Different application ids never conflict."""
    one, other = lake.open(DUPLICATES), lake.open(DUPLICATES)
    one.commit([], versions={"land/s/a": 1}, info={})
    fresh = other.commit([], versions={"land/s/b": 1}, info={})
    assert fresh.transaction_version("land/s/a") == fresh.transaction_version("land/s/b") == 1
    assert fresh.version == 2


def test_of_commits_at_the_same_moment_each_gets_a_number(store: Store) -> None:
    """Four writers of partitions of their own, and two that share one: nothing is lost, and of the two one is refused
    each time.
    """
    together = threading.Barrier(6)

    def work(worker: int) -> int:
        lake, app = Lake(store), f"land/s/{min(worker, 4)}"
        done = 0
        for n in range(8):
            table = lake.open(DUPLICATES)
            together.wait(60)
            try:
                table.commit([lake.write(DUPLICATES, row(f"{worker}-{n}"))], versions={app: n + 1}, info={})
                done += 1
            except Fenced:
                assert worker >= 4
            together.wait(60)
        return done

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(work, range(6)))
    assert done[:4] == [8] * 4
    assert sum(done[4:]) == 8
    lake = Lake(store)
    assert lake.open(DUPLICATES).version == len(counted(lake)) == 40
    lake.check_log(DUPLICATES)


def test_a_commit_is_durable_in_the_order_of_its_rule(store: Store) -> None:
    """First the file, then the entry, which is the commit, then what it rests on."""
    recorded = FaultyStore(store)
    lake = Lake(recorded)
    table = lake.open(DUPLICATES)
    recorded.operations.clear()
    part = lake.write(DUPLICATES, row("a"))
    table.commit([part], versions={"a": 1}, info={})
    assert [each for each in recorded.operations if each.name not in {"listing", "read", "stat"}] == [
        Operation("write", f"duplicates/{part.path}"),
        Operation("create", entry_key("duplicates", 1)),
        Operation("sync", entry_key("duplicates", 0)),
    ]


def test_an_append_is_fenced_by_an_erasure_and_not_the_other_way_round(lake: Lake) -> None:
    """An append knows nothing of what replaced the files of its snapshot; an erasure rests on the files that it
    replaces alone.
    """
    empty = PAYLOADS.schema.empty_table()
    first = lake.open(PAYLOADS).commit([lake.write(PAYLOADS, empty)], versions={"land": 1}, info={})
    appended = first.commit([lake.write(PAYLOADS, empty)], versions={"land": 2}, info={})
    erased = first.commit([lake.write(PAYLOADS, empty)], versions={"retention": 1}, info={}, instead_of=first.files())
    assert erased.version == 3
    assert len(erased.files()) == 2
    with pytest.raises(Fenced, match="another writer has replaced files"):
        appended.commit([lake.write(PAYLOADS, empty)], versions={"land": 3}, info={})
    with pytest.raises(Fenced, match="another writer has replaced files"):
        first.commit([], versions={"other": 1}, info={}, instead_of=first.files())


def test_columns_that_came_later_are_added_once(store: Store, lake: Lake) -> None:
    """By two processes at the same time; a commit on the table as it was is refused."""
    earlier = EVENTS._replace(schema=pa.schema([f for f in EVENTS.schema if f.name not in EVENTS.later]), later=())
    for found in list(store.listing("events/")):
        store.delete(found.key)
    lake.add_table(earlier)
    old = lake.open(earlier)
    assert not old.is_mixed
    racing = FaultyStore(store, 1, lambda: Lake(store).widen(EVENTS), counted=commits_to("events"))
    Lake(racing).widen(EVENTS)
    assert racing.struck
    assert lake.open(EVENTS).version == 1
    assert lake.open(EVENTS).is_mixed
    with pytest.raises(Fenced, match="has changed the table's columns"):
        old.commit([], versions={"a": 1}, info={})
    if isinstance(store, LocalStore):
        assert pa.schema(DeltaTable(store.root / "events").schema().to_arrow()).names[-1] == EVENTS.later[-1]


# Erasing.


def test_what_was_replaced_is_forgotten(store: Store, lake: Lake) -> None:
    """Its file, and the part of the log by which it could be opened."""
    empty = PAYLOADS.schema.empty_table()
    first = lake.open(PAYLOADS).commit([lake.write(PAYLOADS, empty)], versions={"land": 1}, info={})
    second = first.commit([lake.write(PAYLOADS, empty)], versions={"retention": 1}, info={}, instead_of=first.files())
    assert lake.forget(PAYLOADS, since=second.version) == 1
    assert lake.forget(PAYLOADS, since=second.version) == 0
    assert [found.key for found in store.listing("texts/") if found.key.endswith("parquet")] == [
        "texts/_delta_log/00000000000000000002.checkpoint.parquet", f"texts/{next(iter(second.snapshot.files))}",
    ]  # fmt: skip
    assert lake.open(PAYLOADS).files() == second.files()
    with pytest.raises(LakeError):
        lake.open(PAYLOADS, 0)


def test_orphans_are_told_by_their_time(store: Store, lake: Lake) -> None:
    """A store that keeps no times has none: a live worker's files look the same."""
    empty = PAYLOADS.schema.empty_table()
    lake.open(PAYLOADS).commit([lake.write(PAYLOADS, empty)], versions={"land": 1}, info={})
    orphan = lake.write(PAYLOADS, empty)
    later = 10**18
    found = lake.orphans(PAYLOADS, written_before_us=later)
    assert found == ([lake.address(PAYLOADS, orphan.path)] if isinstance(store, LocalStore) else [])
    assert lake.orphans(PAYLOADS, written_before_us=0) == []
    lake.delete(PAYLOADS, found)
    assert lake.orphans(PAYLOADS, written_before_us=later) == []


# Damage.


def test_a_damaged_log_entry_is_named(store: Store, lake: Lake) -> None:
    """A commit cut short is never read as empty."""
    lake.open(DUPLICATES).commit([], versions={"x": 1}, info={})
    key = entry_key("duplicates", 1)
    store.replace(key, store.read(key)[:40])
    with pytest.raises(Damaged, match=key):
        lake.commit_info(DUPLICATES, 1)


def test_a_commit_that_lost_its_end_is_named(store: Store, lake: Lake) -> None:
    """It would keep its rows and forget their offsets."""
    lake.open(DUPLICATES).commit([lake.write(DUPLICATES, row("a"))], versions={"land/s/g": 7}, info={})
    key = entry_key("duplicates", 1)
    store.replace(key, b"\n".join(store.read(key).splitlines()[:-1]))
    with pytest.raises(
        Damaged, match=rf"{key} was cut short: land/s/g is at None, its rows go to 7; restore it from a backup"
    ):
        lake.open(DUPLICATES)


def test_a_changed_and_a_missing_file_are_named(store: Store, lake: Lake) -> None:
    """By `verify`, which reads all, and by whoever reads the file."""
    parts = [lake.write(DUPLICATES, row(name)) for name in "ab"]
    lake.open(DUPLICATES).commit(parts, versions={"a": 1}, info={})
    keys = [f"duplicates/{part.path}" for part in parts]
    content = bytearray(store.read(keys[0]))
    content[len(content) // 2] ^= 1
    store.replace(keys[0], bytes(content))
    store.delete(keys[1])
    problems = list(lake.changed_files(DUPLICATES, lake.history(DUPLICATES)))
    assert [problem.partition(" ")[0] for problem in problems] == [store.named(key) for key in keys]
    assert "was changed after it was written" in problems[0]
    assert "is missing; restore it from a backup" in problems[1]
    with pytest.raises(Damaged, match="restore it from a backup"):
        counted(lake)


# Local files.


def test_workers_that_are_the_first_of_a_day_at_the_same_time_both_write(tmp_path: Path) -> None:
    """A new day begins for all land workers at once; the folder that the other has made meanwhile is no trouble of the
    disk.
    """
    root = tmp_path / "lake"
    Lake(root).create()
    rows = pa.Table.from_pylist([], file_schema(EVENTS))
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(30)]
    together = threading.Barrier(4)

    def write(_: int) -> int:
        done = 0
        for day in days:
            together.wait(60)
            Lake(root).write(EVENTS, rows, day)
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [len(days)] * 4


def test_a_lake_in_memory_has_no_folder(tmp_path: Path) -> None:
    assert Lake(tmp_path).root == tmp_path
    with pytest.raises(LakeError, match="is not in a folder of this machine"):
        _ = Lake(MemoryStore()).documents
