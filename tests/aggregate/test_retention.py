"""Retention: old texts are gone from every file and every version, whatever dies when and whatever else is written
meanwhile.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from aggregate import engine, retention
from aggregate.landing import derived_commits, payloads
from aggregate.landing.land import Counts, Land
from aggregate.landing.redrive import Redrive, Wanted
from aggregate.retention import Erased, RetentionRule, erase
from aggregate.verify import prove
from lake import duck
from lake.errors import Fenced
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from schemas.tables import ALL, LETTERS, PAYLOADS
from schemas.windows import from_us
from tests.aggregate import fixtures as rows
from tests.aggregate.fixtures import DAY_US, LANDED_AT, T0_US
from tests.aggregate.memory_log import MemoryLog
from tests.canaries import openable, seen
from tests.lake.faulty import CHANGES, FaultyStore, Killed, Operation, commits, commits_to

pytestmark = pytest.mark.integration

NOW = LANDED_AT + timedelta(days=1)
RULE = RetentionRule(30, NOW)  # before 2026-10-12


def letter(day: int, **changes: Any) -> dict[str, Any]:
    """A refused entry whose text says of which day it is."""
    name = f"canary-{day:02}-"
    raw = f"{name}raw".encode()
    copied = {
        "event_id": f"{name}id",
        "detail": f"{name}detail",
        "raw": raw,
        "raw_sha256": hashlib.sha256(raw).hexdigest(),
    }
    return rows.refusal(**{"occurred_at": from_us(T0_US + day * DAY_US), **copied, **changes})


LOG = [
    entry
    for day in range(20)
    for entry in (rows.event(f"e{day}", T0_US + day * DAY_US), letter(day), rows.event(f"f{day}", T0_US + day * DAY_US))
]
OLD, YOUNG = ({f"canary-{day:02}-" for day in days} for days in (range(11), range(11, 20)))


def land(root: Path | Store, entries: list[dict[str, Any]] = LOG, name: str = "g", commit_entries: int = 9) -> Counts:
    """Several commits, each with letters of several days."""
    worker = Land(
        Lake(root), MemoryLog(rows.partition(entries, name), batch=3), catalog_sha256="c", now=rows.now, commit_entries=commit_entries
    )  # fmt: skip
    total = Counts()
    for landed in worker.run():
        total = total.plus(landed.counts)
    return total


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("landed") / "lake"
    Lake(root).create()
    land(root)
    return root


@pytest.fixture
def root(landed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(landed, tmp_path / "lake"))


def found(root: Path) -> set[str]:
    return seen(root, OLD | YOUNG)


def whole(root: Path, entries: int = 60) -> bool:
    """The books balance; every letter has one text, or a note that it was erased."""
    proof = prove(Lake(root))
    assert proof.problems == []
    con = duckdb.connect()
    for shape in (LETTERS, PAYLOADS):
        duck.scan(con, shape.name, Lake(root).files(shape), shape)
    keys = "outcome, source, generation, position, item"
    assert con.sql(f"SELECT {keys} FROM dead ORDER BY ALL").fetchall() == con.sql(f"SELECT {keys} FROM texts ORDER BY ALL").fetchall()  # fmt: skip
    assert con.sql("SELECT count(*) FROM texts WHERE (raw IS NULL) != (erased_at IS NOT NULL)").fetchall() == [(0,)]
    return proof.totals()["entries"] == entries


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_old_texts_are_gone_from_every_file_and_every_version(root: Path) -> None:
    """Compressed pages, statistics, the log, checkpoints: nothing holds them, and no version can be opened that
    would.
    """
    before = {shape.name: openable(root / shape.name) for shape in ALL.values()}
    assert found(root) == OLD | YOUNG
    assert erase(Lake(root), RULE) == Erased(texts=11, kept=9, files=4)
    assert found(root) == YOUNG
    for shape in ALL.values():
        versions = openable(root / shape.name)
        if shape.erasable:
            assert min(versions) > max(before[shape.name]), "what could be opened before can be opened still"
        else:
            assert versions[: len(before[shape.name])] == before[shape.name], "a close may rest on it"
    assert whole(root)


def test_a_second_run_does_nothing(root: Path) -> None:
    """Not one byte: a schedule repeats it every night."""
    erase(Lake(root), RULE)
    before = files(root)
    assert erase(Lake(root), RULE) == Erased(texts=0, kept=9, files=0)
    assert files(root) == before


def test_a_dry_run_says_what_would_be_erased_and_writes_nothing(root: Path) -> None:
    """The day before the first run in earnest."""
    before = files(root)
    assert erase(Lake(root), RULE, dry_run=True) == Erased(texts=11, kept=9, files=4)
    assert files(root) == before


@pytest.mark.slow
def test_night_after_night_the_log_stays_short_and_no_old_version_comes_back(root: Path) -> None:
    """The log of a table that is rewritten every night would grow without bound, and would name what is gone."""
    for night in range(8):
        rule = RetentionRule(30, NOW + timedelta(days=2 * night - 8))
        could = openable(root / "texts")
        if erase(Lake(root), rule).texts:
            assert min(openable(root / "texts")) > max(could)
        land(root, [letter(19)], f"later-{night}")
        assert found(root) == {f"canary-{d:02}-" for d in range(20) if from_us(T0_US + d * DAY_US) >= rule.before} | {
            "canary-19-"
        }
    log = list((root / "texts" / "_delta_log").iterdir())
    assert len([p for p in log if p.suffix == ".json"]) < 10
    assert whole(root, 68)


@pytest.mark.parametrize("first", ["request time", "landing"])
def test_age_counts_from_the_request_or_from_the_landing_if_that_is_earlier(tmp_path: Path, first: str) -> None:
    """A line without a readable time, or from a clock that is years ahead, must not be kept for ever."""
    Lake(tmp_path).create()
    known_time = letter(0) if first == "request time" else letter(0, occurred_at=datetime(2090, 1, 1, tzinfo=UTC))
    unknown_time = letter(1, occurred_at=None)
    land(tmp_path, [known_time, unknown_time])
    started = from_us(T0_US) if first == "request time" else LANDED_AT
    exactly = started + timedelta(days=30)
    assert erase(Lake(tmp_path), RetentionRule(30, exactly)).texts == 0
    assert erase(Lake(tmp_path), RetentionRule(30, exactly + timedelta(microseconds=1))).texts == (
        1 if first == "request time" else 2
    )
    assert erase(Lake(tmp_path), RetentionRule(30, LANDED_AT + timedelta(days=31))).kept == 0


@pytest.mark.slow
def test_a_lake_without_refusals_has_no_commit_of_texts_but_for_a_note_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hot path: landing what is all counted must not pay for texts that are not there."""
    Lake(tmp_path).create()
    monkeypatch.setattr(derived_commits, "_TEXTLESS_COMMITS", 10)
    land(tmp_path, [rows.event(f"e{n}", T0_US + n) for n in range(60)], commit_entries=1)
    versions = {name: DeltaTable(tmp_path / name).version() for name in ("events", "dead", "texts")}
    assert versions == {"events": 20, "dead": 3, "texts": 1}
    assert prove(Lake(tmp_path)).problems == []


# What dies.


@pytest.mark.sampled(keep=1, whole=5)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", sorted(CHANGES))
def test_death_between_any_two_steps_is_made_good_by_the_next_run(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    """What is left behind is deleted at once if a commit has replaced it, and else when nobody can be at work on it
    any more.
    """
    monkeypatch.setattr(retention, "COMMIT_FILES", 2)
    deaths = 0
    for call in range(1, 50):
        copy = Path(shutil.copytree(root, root.parent / str(call)))
        try:
            erase(Lake(FaultyStore(LocalStore(copy), call, when=when, counted=lambda op: op.name == step)), RULE)
        except Killed:
            deaths += 1
        else:
            break
        erase(Lake(copy), RULE)
        assert found(copy) == YOUNG, f"death {when} {step} {call}"
        assert min(openable(copy / "texts")) > max(openable(root / "texts"))
        assert whole(copy)
        before = files(copy)
        assert erase(Lake(copy), RULE) == Erased(0, 9, 0)
        assert files(copy) == before
    assert deaths >= {"write": 4, "create": 2, "delete": 5}.get(step, 1)


@pytest.mark.slow
def test_files_of_a_land_worker_that_died_are_deleted_when_they_are_a_day_old(root: Path) -> None:
    """Text that was written and never committed is in no table, and on the disk. A live worker's is left alone."""
    with pytest.raises(Killed):
        land(FaultyStore(LocalStore(root), 1, counted=commits), [letter(3), letter(4)], "dead")
    (orphan,) = {*(root / "texts").glob("*.parquet")} - {Path(file) for file in Lake(root).files(PAYLOADS)}
    written = NOW - timedelta(hours=23)
    os.utime(orphan, (written.timestamp(), written.timestamp()))
    erase(Lake(root), RULE)
    assert found(root) == YOUNG | {"canary-03-", "canary-04-"}
    assert erase(Lake(root), RetentionRule(31, NOW + timedelta(hours=2))) == Erased(0, 9, 1)
    assert found(root) == YOUNG
    assert whole(root)


@pytest.mark.slow
def test_texts_of_a_commit_that_no_table_has_followed_yet_are_erased_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A land worker died between its commit and the tables that follow it."""
    with monkeypatch.context() as patch:
        patch.setattr(derived_commits, "catch_up", lambda *_: None)
        land(root, [letter(3)], "unfollowed")
    assert prove(Lake(root)).commits_on_the_way == 1
    assert erase(Lake(root), RULE).texts == 12
    assert found(root) == YOUNG
    assert whole(root, 61)


# What happens at the same time.


def gone() -> None:
    raise FileNotFoundError(2, "deleted since it was listed")


def once(before: Callable[..., Any], when: Callable[..., bool], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, but the first time that `when` says so something else happens before it."""
    waiting = [before]

    def disturbed(*args: Any, **kwargs: Any) -> Any:
        if waiting and when(*args, **kwargs):
            waiting.pop()()
        return function(*args, **kwargs)

    return disturbed


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("erasures", [1, 2, 3])
def test_a_land_worker_that_is_overtaken_by_erasures_commits_its_texts_after_them(root: Path, erasures: int) -> None:
    """Its snapshot is old, and the log behind it may be cut off: it opens the table again, and nothing is lost or
    doubled.
    """

    def overtake() -> None:
        for n in range(erasures):
            erase(Lake(root), RetentionRule(30 - n, NOW))

    store = FaultyStore(LocalStore(root), 1, overtake, counted=commits_to("texts"))
    assert land(store, [letter(12), letter(19)], "beside").refused == 2
    assert whole(root, 62)
    assert "canary-19-" in found(root)
    assert DeltaTable(root / "texts").transaction_version("retention") == erasures


@pytest.mark.slow
def test_an_erasure_that_is_overtaken_by_a_land_worker_erases_all_the_same(root: Path) -> None:
    """What it brings was not looked at: the next run does that."""

    def overtake() -> None:
        land(root, [letter(2)], "beside")

    assert erase(Lake(FaultyStore(LocalStore(root), 1, overtake, counted=commits_to("texts"))), RULE).texts == 11
    assert found(root) == YOUNG | {"canary-02-"}
    assert erase(Lake(root), RULE).texts == 1
    assert found(root) == YOUNG
    assert whole(root, 61)


def test_of_two_erasures_at_once_each_text_is_kept_once(root: Path) -> None:
    """On two machines with one lake: the slower one finds its files replaced, and adds nothing."""

    def overtake() -> None:
        erase(Lake(root), RULE)

    erase(Lake(FaultyStore(LocalStore(root), 1, overtake, counted=commits_to("texts"))), RULE)
    assert found(root) == YOUNG
    assert whole(root)


def test_files_that_go_away_while_they_are_looked_through_end_the_slower_erasure(root: Path) -> None:
    """It is told to begin again, not that the disk is broken."""
    (_, *others) = Lake(root).files(PAYLOADS)
    with pytest.raises(Fenced, match="another erasure"):
        erase(Lake(root), RULE, progress=lambda _: Path(others[-1]).unlink(missing_ok=True))


@pytest.mark.slow
def test_a_redrive_reads_letters_whose_files_an_erasure_replaces_meanwhile(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts that are left are read; those that are gone are known as erased."""
    worker = Redrive(Lake(root), catalog_sha256="c", now=rows.now)
    monkeypatch.setattr(
        engine, "run", once(lambda: erase(Lake(root), RULE), lambda _, name, *__, **___: name == "letters", engine.run)
    )
    letters = worker.letters(Wanted("edge"), "g")
    assert letters["erased_by"].to_pylist() == ["older than 30 days"] * 11 + [None] * 9
    assert letters["is_whole"].to_pylist() == [False] * 11 + [True] * 9


def test_a_log_that_is_cut_off_while_a_table_is_opened_is_looked_at_again(root: Path) -> None:
    """What was listed is gone when it is read, and a later checkpoint is there: that is no damage, of any table."""
    erase(Lake(root), RULE)
    for shape in (PAYLOADS, LETTERS):

        def reads_an_entry(operation: Operation, table: str = shape.name) -> bool:
            return operation.name == "read" and operation.key.startswith(f"{table}/_delta_log/0")

        cut_off = FaultyStore(LocalStore(root), 1, gone, counted=reads_an_entry)
        assert Lake(cut_off).files(shape)
        assert cut_off.struck


@pytest.mark.slow
def test_landing_and_erasing_at_once_for_a_while(root: Path) -> None:
    """Many commits against many erasures: in the end every letter has its text or its note, and nothing old is left."""
    ended = threading.Event()
    trouble: list[BaseException] = []

    def landing() -> None:
        try:
            for n in range(12):
                land(root, [letter(n), letter(19), rows.event(f"x{n}", T0_US + n)], f"beside-{n}", commit_entries=1)
        except BaseException as exc:  # told by the test
            trouble.append(exc)
        finally:
            ended.set()

    thread = threading.Thread(target=landing)
    thread.start()
    runs = 0
    while not ended.is_set():
        erase(Lake(root), RULE)
        runs += 1
    thread.join()
    assert trouble == []
    assert runs > 1
    erase(Lake(root), RULE)
    assert found(root) == YOUNG
    assert whole(root, 96)


def test_attempts_are_bounded() -> None:
    """What never succeeds is told."""
    tried = []

    def fenced() -> None:
        tried.append(1)
        raise Fenced

    with pytest.raises(Fenced):
        payloads.again().copy(wait=lambda _: 0)(fenced)
    assert len(tried) == payloads._ATTEMPTS


def test_only_old_rows_lose_what_was_copied() -> None:
    """A pure function of rows and rule: key and age stay, and what was erased before keeps its date."""
    before = datetime(2026, 11, 1, tzinfo=UTC)
    given = pa.Table.from_pylist(
        [
            {"position": 1, "raw": b"a", "detail": "a", "event_id": "a", "aged_from": RULE.before - timedelta(microseconds=1)},
            {"position": 2, "raw": b"b", "detail": "b", "event_id": "b", "aged_from": RULE.before},
            {"position": 3, "aged_from": RULE.before - timedelta(days=9), "erased_at": before, "erased_by": "older than 1 days"},
        ],
        PAYLOADS.schema,
    )  # fmt: skip
    first, second, third = retention.erased(given, RULE).to_pylist()
    assert (first["raw"], first["detail"], first["event_id"]) == (None, None, None)
    assert (first["erased_at"], first["erased_by"]) == (NOW, "older than 30 days")
    assert [second, third] == given.to_pylist()[1:]
