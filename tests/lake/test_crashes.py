"""A process dies, or the disk fails, at the nth operation of the store: for every n, the lake is whole afterwards.

The lake is in memory, so that each operation can be tried; tests of aggregate, billing and tollbook stop their own
steps on local files.
"""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregate.retention import RetentionRule, erase
from aggregate.verify import prove
from lake import expire, tables
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.memory import MemoryStore
from lake.storage.store import Store
from schemas.tables import ALL, DUPLICATES, EVENTS, PAYLOADS
from tests.aggregate.fixtures import LANDED_AT
from tests.aggregate.test_land import BALANCED, MIXED, land
from tests.lake.faulty import CHANGES, READS, FaultyStore, Killed, Operation, failing, killed
from tests.long import LONG

Fault = Callable[[], None]
FAULTS = {
    "death before": (killed, "before"), "death halfway": (killed, "halfway"), "death after": (killed, "after"),
    "full before": (failing(errno.ENOSPC), "before"), "full halfway": (failing(errno.ENOSPC), "halfway"),
    "broken before": (failing(errno.EIO), "before"), "broken after": (failing(errno.EIO), "after"),
}  # fmt: skip
each_fault = pytest.mark.parametrize(("fault", "when"), FAULTS.values(), ids=FAULTS)


def copied(store: MemoryStore) -> MemoryStore:
    """A store with the same keys."""
    copy = MemoryStore()
    for found in store.listing():
        copy.replace(found.key, store.read(found.key))
    return copy


def every(
    start: Store | Callable[[], Store], fault: Fault, when: str, run: Callable[[FaultyStore], object], check: Callable[[Store], None],
    *, step: int = 1, counted: frozenset[str] = CHANGES,
) -> int:  # fmt: skip
    """Let the fault strike at each nth operation of a run on a copy of a store, and check what it leaves; how many n
    there are.
    """
    for nth in range(1, 10_000, step):
        inner = copied(start) if isinstance(start, MemoryStore) else start() if callable(start) else start
        store = FaultyStore(inner, nth, fault, when=when, counted=lambda operation: operation.name in counted)
        try:
            run(store)
        except (Killed, OSError, LakeError):
            assert store.struck
        check(inner)
        if not store.struck:
            return nth - 1
    raise AssertionError("the run does not end")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints at every second commit."""
    monkeypatch.setattr(tables, "CHECKPOINT_COMMITS", 2)


@each_fault
def test_a_lake_whose_making_fails_is_made_by_the_next_one(fault: Fault, when: str) -> None:
    """The marker comes first, so what is half made is a lake, and nobody takes it for a foreign folder."""

    def check(store: Store) -> None:
        lake = Lake(store)
        lake.create()
        assert {lake.open(shape).version for shape in ALL.values()} == {0}

    assert every(MemoryStore(), fault, when, lambda store: Lake(store).create(), check) == 1 + len(ALL)


@each_fault
def test_a_commit_that_fails_is_there_or_not(often: None, fault: Fault, when: str) -> None:
    """With its rows and its version, or with neither; its repetition counts once."""
    made = MemoryStore()
    Lake(made).create()
    rows = DUPLICATES.schema.empty_table()

    def commit(store: Store) -> None:
        lake = Lake(store)
        table = lake.open(DUPLICATES)
        while (reached := table.transaction_version("land/s/g") or 0) < 3:
            table = table.commit(
                [lake.write(DUPLICATES, rows)], versions={"land/s/g": reached + 1}, info={"to": reached + 1}
            )

    def check(store: Store) -> None:
        lake = Lake(store)
        lake.check_log(DUPLICATES)
        table = lake.open(DUPLICATES)
        assert len(table.files()) == table.version == (table.transaction_version("land/s/g") or 0)
        assert not list(lake.opening_problems(DUPLICATES, lake.history(DUPLICATES)))
        assert not list(lake.changed_files(DUPLICATES, lake.history(DUPLICATES)))
        commit(store)
        assert len(lake.open(DUPLICATES).files()) == lake.open(DUPLICATES).version == 3
        assert lake.history(DUPLICATES).problems == []

    assert every(made, fault, when, commit, check) >= 8


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_commit_that_cannot_be_written_says_so(number: int) -> None:
    """The caller repeats the command when the disk is well: what went wrong, where, and the remedy."""
    store = MemoryStore()
    Lake(store).create()
    faulty = Lake(FaultyStore(store, 1, failing(number), counted=lambda operation: operation.name == "create"))
    table = faulty.open(EVENTS)
    with pytest.raises(
        LakeError, match=rf"/events: the commit could not be written \(\[Errno {number}\].*\); free or repair the disk"
    ):
        table.commit([], versions={"a": 1}, info={})
    assert table.commit([], versions={"a": 1}, info={}).version == 1


@pytest.mark.integration
@pytest.mark.parametrize(
    ("fault", "when"),
    [
        pytest.param(*value, id=name, marks=[] if name == "death after" else [pytest.mark.slow])
        for name, value in FAULTS.items()
    ],
)
def test_no_event_is_lost_or_doubled_wherever_landing_fails(often: None, fault: Fault, when: str) -> None:
    """Files, commits, checkpoints and syncs of all tables: the next run ends with the same books."""
    made = MemoryStore()
    Lake(made).create()

    def check(store: Store) -> None:
        assert prove(Lake(store)).problems == []
        land(store)
        found = prove(Lake(store))
        assert (found.problems, found.totals()) == ([], BALANCED)

    assert every(made, fault, when, land, check, step=1 if LONG else 23) > 20


@pytest.mark.integration
@pytest.mark.slow
def test_no_event_is_lost_when_reading_fails_anywhere() -> None:
    """A disk that cannot be read for a moment: nothing is committed on half of what is known."""
    made = MemoryStore()
    Lake(made).create()
    land(made, MIXED[:70])

    def check(store: Store) -> None:
        land(store)
        assert prove(Lake(store)).totals() == BALANCED

    assert every(made, failing(errno.EIO), "before", land, check, step=1 if LONG else 23, counted=READS) > 50


@pytest.mark.integration
@pytest.mark.sampled(keep=1, whole=4)
@each_fault
def test_an_erasure_that_fails_is_completed_by_the_next_one(often: None, fault: Fault, when: str) -> None:
    """No version with the old payloads can be opened then, the log has no gap, and no payload is lost that was to be
    kept.
    """
    made = MemoryStore()
    Lake(made).create()
    land(made)
    rule = RetentionRule(1, LANDED_AT)
    before = Lake(made).open(PAYLOADS)
    assert before.files()

    def run(store: Store) -> None:
        erase(Lake(store), rule)

    def check(store: Store) -> None:
        erase(Lake(store), rule)
        lake = Lake(store)
        lake.check_log(PAYLOADS)
        held = {
            found.key
            for found in store.listing("texts/")
            if found.key.endswith(".parquet") and "_delta_log" not in found.key
        }
        live = {f"texts/{path}" for path in lake.open(PAYLOADS).snapshot.files}
        assert live <= held
        assert not held & {f"texts/{path}" for path in before.snapshot.files}
        assert prove(lake).problems == []

    assert every(made, fault, when, run, check) >= 6


# Writers that are overtaken while an erasure cuts the log off.


def test_a_commit_into_a_log_that_was_cut_off_is_refused(often: None) -> None:
    """Two erasures come between opening and committing: the number after the snapshot is free again, and nobody would
    read it.
    """
    store = MemoryStore()
    lake = Lake(store)
    lake.create()
    empty = PAYLOADS.schema.empty_table()
    table = lake.open(PAYLOADS).commit([lake.write(PAYLOADS, empty)], versions={"land": 1}, info={})
    for n in range(3):
        now = lake.open(PAYLOADS)
        since = now.version + 1
        now.commit([lake.write(PAYLOADS, empty)], versions={"retention": n}, info={}, instead_of=now.files())
        expire.forget(store, PAYLOADS, since=since)
    with pytest.raises(Fenced, match="cut off after version 1"):
        table.commit([lake.write(PAYLOADS, empty)], versions={"land": 2}, info={})
    assert lake.open(PAYLOADS).version == 4
    lake.check_log(PAYLOADS)


@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_log_that_is_cut_off_between_the_look_and_the_commit_takes_nothing(
    often: None, place: str, tmp_path: Path
) -> None:
    """The entry was created where one was deleted a moment before: it is taken back, and the writer is told."""
    store: Store = LocalStore(tmp_path / "lake") if place == "local" else MemoryStore()
    lake = Lake(store)
    lake.create()
    empty = PAYLOADS.schema.empty_table()
    lake.open(PAYLOADS).commit([lake.write(PAYLOADS, empty)], versions={"land": 1}, info={})

    def erased() -> None:
        for n in range(3):
            now = lake.open(PAYLOADS)
            since = now.version + 1
            now.commit([lake.write(PAYLOADS, empty)], versions={"retention": n}, info={}, instead_of=now.files())
            expire.forget(store, PAYLOADS, since=since)

    def creates(operation: Operation) -> bool:
        return operation.name == "create"

    faulty = FaultyStore(store, 1, erased, counted=creates)
    table = Lake(faulty).open(PAYLOADS)
    with pytest.raises(Fenced, match="cut off after version 1"):
        table.commit([], versions={"land": 2}, info={})
    assert faulty.struck
    assert [found.key for found in store.listing("texts/_delta_log/") if found.key.endswith("2.json")] == []
    lake.check_log(PAYLOADS)
    assert lake.open(PAYLOADS).transaction_version("land") == 1
