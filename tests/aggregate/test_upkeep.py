"""Upkeep: whatever is compacted, deleted and cut, when and by whom, the lake holds the same rows and proves them."""

import errno
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregate import upkeep
from aggregate.landing import settlement
from aggregate.upkeep import UpkeepRules
from aggregate.verify import prove
from billing.invoicing.proofs import files_sha256, pinned_files
from billing.usage.warehouse import Warehouse
from lake import tables
from lake.delta import checkpoint, cutting
from lake.errors import Damaged, Fenced, LakeError
from lake.lake import Lake
from lake.storage.memory import MemoryStore
from lake.storage.store import Store
from lake.upkeep.compaction import Compacted
from schemas.tables import DUPLICATES, EVENTS, KEPT, LETTERS, ROLLUPS, TableShape
from tests.aggregate.fixtures import DAY_US, LANDED_AT, T0_US, event, refusal
from tests.aggregate.test_settlement import land
from tests.lake.faulty import FaultyStore, commits_to, failing, killed
from tests.lake.test_crashes import every
from tests.long import LONG

pytestmark = pytest.mark.integration

ALWAYS = UpkeepRules(min_files=2, grace=timedelta(0), kept_commits=2)
STATES = {
    "events": "SELECT * EXCLUDE (landed_in) FROM events ORDER BY ALL",
    "rollups": """SELECT * EXCLUDE (requests, request_bytes, response_bytes, latency_us), sum(requests) AS n,
        sum(request_bytes) AS i, sum(response_bytes) AS o, sum(latency_us) AS l FROM rollups GROUP BY ALL ORDER BY ALL""",
    **{name: f"SELECT * FROM {name} ORDER BY ALL" for name in ("duplicates", "dead", "reads", "withdrawn", "ingested")},
}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints at every second commit, so that a log can be cut early."""
    monkeypatch.setattr(tables, "CHECKPOINT_COMMITS", 2)


def rows(place: Path | Store) -> dict[str, list[dict[str, Any]]]:
    """All rows of a lake, without what a compaction may change. The books are proved to balance."""
    lake = Lake(place)
    proof = prove(lake)
    assert proof.problems == []
    house = Warehouse(lake, lake.consistent_cut())
    return {name: house.ask(sql).to_pylist() for name, sql in STATES.items()}


def entries(first: int, count: int) -> list[dict[str, Any]]:
    """Events of three days and two partners, every ninth a resend and every seventh refused."""
    found = []
    for n in range(first, first + count):
        if n % 7 == 3:
            found.append(refusal(raw=b"%d" % n, occurred_at=None))
        else:
            at = T0_US + (n % 3) * DAY_US + n * 1_000_000
            found.append(
                event(f"e{n - 1 if n % 9 == 5 else n}", at, partner_id=("acme", "bolt")[n % 2], response_bytes=n)
            )
    return found


def landed(place: Path | Store, count: int = 40, first: int = 0, name: str = "g") -> None:
    """Land entries in commits of four, each of a log of its own."""
    Lake(place).create()
    found = entries(first, count)
    for start in range(0, count, 4):
        land(place, f"{name}-{start}", *found[start : start + 4])


def kept_up(place: Path | Store, rules: UpkeepRules = ALWAYS) -> list[Any]:
    return list(upkeep.keep_up(Lake(place), now=LANDED_AT, rules=rules))


def count_files(place: Path | Store, shape: TableShape) -> int:
    return len(Lake(place).files(shape))


def test_many_small_files_become_one_of_each_day(tmp_path: Path) -> None:
    """For other readers of Delta, too. The replaced files are gone, and nothing is left to do."""
    landed(tmp_path / "lake")
    before, files = rows(tmp_path / "lake"), count_files(tmp_path / "lake", EVENTS)
    done = [step for step in kept_up(tmp_path / "lake") if isinstance(step, Compacted)]
    assert files > 20
    assert count_files(tmp_path / "lake", EVENTS) == 3
    assert count_files(tmp_path / "lake", ROLLUPS) == 3
    assert count_files(tmp_path / "lake", LETTERS) == 1
    assert {step.table for step in done} >= {"events", "rollups", "dead", "reads", "texts"}
    assert rows(tmp_path / "lake") == before
    ours = DeltaTable(tmp_path / "lake" / "events")
    assert ours.to_pyarrow_table().num_rows == len(before["events"])
    assert len(list((tmp_path / "lake" / "events").glob("event_day=*/*.parquet"))) == 3
    assert kept_up(tmp_path / "lake") == []


def test_rollups_of_one_key_become_one_row(tmp_path: Path) -> None:
    """The four rows of a window, one of each commit."""
    landed(tmp_path / "lake")
    house = Warehouse(Lake(tmp_path / "lake"))
    (sums,) = house.ask("SELECT count(*) AS rows, sum(requests) AS requests FROM rollups").to_pylist()
    kept_up(tmp_path / "lake")
    (after,) = (
        Warehouse(Lake(tmp_path / "lake"))
        .ask(
            "SELECT count(*) AS rows, count(DISTINCT (partner_id, window_start)) AS keys, sum(requests) AS requests FROM rollups"
        )
        .to_pylist()
    )
    assert after["requests"] == sums["requests"]
    assert after["rows"] == after["keys"] < sums["rows"]


def test_rows_know_the_commits_that_landed_them(tmp_path: Path) -> None:
    """Those of the files that were replaced; also after a second compaction."""
    landed(tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    by_file = {lake.address(EVENTS, file.path): file.commit for file in lake.open(EVENTS).listed().values()}
    house = Warehouse(lake)
    found = house.con.read_parquet(list(by_file), filename=True).project("event_id, filename").fetchall()
    expected = {event_id: by_file[file] for event_id, file in found}
    for first in (100, 200):
        kept_up(tmp_path / "lake")
        landed(tmp_path / "lake", 12, first, f"g{first}")
    kept_up(tmp_path / "lake")
    stated = {row["event_id"]: row["landed_in"] for row in Warehouse(lake).ask("SELECT * FROM events").to_pylist()}
    assert {event_id: stated[event_id] for event_id in expected} == expected


@pytest.mark.sampled(keep=1, whole=2)
@pytest.mark.parametrize(
    ("fault", "when"),
    [
        (killed, "before"),
        (killed, "after"),
        (killed, "halfway"),
        (failing(errno.ENOSPC), "halfway"),
        (failing(errno.EIO), "after"),
    ],
    ids=["death before", "death after", "death halfway", "full", "broken"],
)
def test_upkeep_that_dies_anywhere_loses_and_doubles_nothing(fault: Callable[[], None], when: str) -> None:
    """At each operation of the store. The next upkeep completes it."""
    store = MemoryStore()
    landed(store, 12)
    before = rows(store)

    def check(left: Store) -> None:
        assert rows(left) == before
        kept_up(left)
        assert rows(left) == before

    every(store, fault, when, kept_up, check, step=1 if LONG else 29)


def test_land_goes_on_while_a_compaction_commits() -> None:
    """A commit comes in between: both stand. An erasure in between fences the compaction, which changes nothing."""
    store = MemoryStore()
    landed(store)

    def between() -> None:
        landed(store, 12, 100, "other")

    faulty = FaultyStore(store, 1, between, counted=commits_to("events"))
    kept_up(faulty)
    assert faulty.struck
    apart = MemoryStore()
    landed(apart)
    landed(apart, 12, 100, "other")
    assert rows(store) == rows(apart)


def test_of_two_compactions_one_is_refused() -> None:
    """They would write the same rows twice."""
    store = MemoryStore()
    landed(store)
    before = rows(store)
    faulty = FaultyStore(store, 1, lambda: kept_up(store), counted=commits_to("events"))
    list(Lake(faulty).compact(EVENTS, now=LANDED_AT, min_files=2))
    assert faulty.struck
    assert rows(store) == before


def test_what_a_close_lists_stays_for_good(tmp_path: Path) -> None:
    """Its files are not rewritten and not deleted, its logs are cut, and it reads the same rows from its list."""
    landed(tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    versions = lake.consistent_cut()
    content = {"versions": versions, "files_sha256": files_sha256(lake, versions)}
    lake.pin(versions)
    closed = Warehouse(lake, versions).ask(STATES["events"]).to_pylist()
    files = count_files(tmp_path / "lake", EVENTS)
    for first in (100, 200, 300):
        landed(tmp_path / "lake", 40, first, f"g{first}")
        kept_up(tmp_path / "lake")
    assert not (tmp_path / "lake" / "events" / "_delta_log" / f"{0:020d}.json").exists()
    assert count_files(tmp_path / "lake", EVENTS) == files + 3
    assert Warehouse(lake, versions).ask(STATES["events"]).to_pylist() == closed
    assert pinned_files(lake, content) == []
    assert prove(lake, versions).problems == []
    assert prove(lake).problems == []


def test_a_changed_list_of_a_close_is_noticed(tmp_path: Path) -> None:
    landed(tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    versions = lake.consistent_cut()
    lake.pin(versions)
    listed = tmp_path / "lake" / checkpoint.key_of("events", versions["events"])
    listed.write_bytes(checkpointed(lake, versions["events"] - 2))
    assert any("was changed after it was written" in problem for problem in pinned_files(lake, {"versions": versions}))


def checkpointed(lake: Lake, version: int) -> bytes:
    lake.pin({"events": version})
    return (lake.root / checkpoint.key_of("events", version)).read_bytes()


def test_a_version_before_the_cut_is_refused_with_what_can_be_opened(tmp_path: Path) -> None:
    landed(tmp_path / "lake")
    kept_up(tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    with pytest.raises(
        LakeError, match=r"version 3 of table events in .* was cut off: the versions that closes rest on"
    ):
        lake.open(EVENTS, 3)
    assert lake.open(EVENTS, 0).files() == []
    assert lake.gained(EVENTS, 3, lake.open(EVENTS).version) is None


def test_a_cut_log_without_its_cut_is_damaged(tmp_path: Path) -> None:
    landed(tmp_path / "lake")
    kept_up(tmp_path / "lake")
    (tmp_path / "lake" / "events" / "_delta_log" / "tollbook-cut.json").unlink()
    with pytest.raises(Damaged, match="is empty or one before it is missing"):
        Lake(tmp_path / "lake").check_log(EVENTS)


def test_a_writer_that_slept_through_a_cut_is_fenced() -> None:
    """Its next entry would be one that nobody reads."""
    store = MemoryStore()
    landed(store)
    asleep = Lake(store).open(DUPLICATES)
    landed(store, 40, 100, "g2")
    kept_up(store)
    cut = cutting.cut_of(store, "duplicates")
    assert cut is not None
    assert cut.version > asleep.version
    with pytest.raises(Fenced, match="was cut off"):
        asleep.commit([], versions={"a": 1}, info={})
    assert rows(store)


def test_a_file_is_kept_for_the_time_of_grace(tmp_path: Path) -> None:
    """A reader that opened the table before goes on reading."""
    landed(tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    before = lake.open(ROLLUPS)
    list(lake.compact(ROLLUPS, now=LANDED_AT, min_files=2))
    day = timedelta(days=1)
    assert lake.delete_replaced(ROLLUPS, now=LANDED_AT + day, grace=7 * day) == 0
    assert all(Path(file).exists() for file in before.files())
    assert lake.delete_replaced(ROLLUPS, now=LANDED_AT + 7 * day, grace=7 * day) == len(before.files())
    assert not any(Path(file).exists() for file in before.files())
    assert lake.delete_replaced(ROLLUPS, now=LANDED_AT + 8 * day, grace=7 * day) == 0


STEPS = st.lists(st.sampled_from(["land", "resend", "keep up", "compact", "settle", "close"]), max_size=8)


@settings(max_examples=200 if LONG else 5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_order_of_upkeep_landing_settling_and_closing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """A lake with upkeep, and one without: the same rows count, and each close reads what it read."""
    kept, plain = (tmp_path_factory.mktemp("lakes") / "lake" for _ in range(2))
    closes: list[tuple[dict[str, int], list[dict[str, Any]]]] = []
    for number, step in enumerate(["land", *steps]):
        for place in (kept, plain):
            if step in {"land", "resend"}:  # a resend has ids of an earlier log with times that are days away
                Lake(place).create()
                far = 20 * DAY_US if step == "resend" else 0
                some = [
                    e if "reason" in e else {**e, "occurred_at": e["occurred_at"] + timedelta(microseconds=far)}
                    for e in entries(0 if far else 40 * number, 12)
                ]
                land(place, f"g{number}", *some, commit_entries=4)
            elif step == "settle":
                settlement.settle(Lake(place), now=lambda: LANDED_AT)
        if step == "keep up":
            kept_up(kept)
        elif step == "compact":
            list(Lake(kept).compact(EVENTS, now=LANDED_AT, min_files=2))
        elif step == "close":
            versions = Lake(kept).consistent_cut()
            Lake(kept).pin(versions)
            closes.append((versions, Warehouse(Lake(kept), versions).ask(STATES["events"]).to_pylist()))
    for place in (kept, plain):
        settlement.settle(Lake(place), now=lambda: LANDED_AT)
    assert rows(kept)["events"] == rows(plain)["events"]
    assert rows(kept)["rollups"] == rows(plain)["rollups"]
    for versions, found in closes:
        assert Warehouse(Lake(kept), versions).ask(STATES["events"]).to_pylist() == found
        doubled = "; `tollbook settle` keeps the first"
        assert [p for p in prove(Lake(kept), versions).problems if not p.endswith(doubled)] == []
    assert set(KEPT) >= set(STATES)
