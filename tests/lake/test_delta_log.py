"""The log is a Delta log: the package `deltalake` opens what we write, and we open what it writes."""

from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction, CommitProperties, Transaction

from lake import tables
from lake.delta import checkpoint, entries, snapshot
from lake.delta.snapshot import NoTable, Unreadable
from lake.errors import Damaged, LakeError
from lake.lake import Lake, Table
from lake.storage.local import LocalStore
from lake.storage.memory import MemoryStore
from schemas.tables import ALL, EVENTS, PAYLOADS, READS, TableShape
from tests.aggregate.test_land import MIXED, land


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Lake(tmp_path / "lake").create()
    return tmp_path / "lake"


def same(root: Path, shape: TableShape, version: int | None = None) -> None:
    """Both readers agree about a version."""
    theirs, ours = DeltaTable(root / shape.name, version=version), Lake(root).open(shape, version)
    assert theirs.version() == ours.version
    assert sorted(unquote(uri).removeprefix("file://") for uri in theirs.file_uris()) == ours.files()
    assert {app: theirs.transaction_version(app) for app in ours.snapshot.apps} == ours.snapshot.apps
    assert theirs.metadata().configuration == ours.snapshot.properties
    assert pa.schema(theirs.schema().to_arrow()).names == shape.schema.names


@pytest.mark.integration
@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("commits_a_checkpoint", [2, 3, 1000])
def test_deltalake_reads_what_we_write(root: Path, monkeypatch: pytest.MonkeyPatch, commits_a_checkpoint: int) -> None:
    """Every version of every table: entries, checkpoints, and checkpoints that rest on checkpoints."""
    monkeypatch.setattr(tables, "CHECKPOINT_COMMITS", commits_a_checkpoint)
    land(root, MIXED, commit_entries=7)
    land(root, [*MIXED, MIXED[0]], commit_entries=7)
    assert Lake(root).open(EVENTS).version > 8
    for shape in ALL.values():
        for version in range(Lake(root).open(shape).version + 1):
            same(root, shape, version)
        same(root, shape)
        assert DeltaTable(root / shape.name).to_pyarrow_table().num_rows >= 0
    assert DeltaTable(root / "events").to_pyarrow_table().num_rows == 100
    assert bool(list((root / "events" / "_delta_log").glob("*.parquet"))) == (commits_a_checkpoint < 1000)


@pytest.mark.integration
def test_we_read_what_deltalake_writes(root: Path) -> None:
    """Lakes of earlier releases: their commits and checkpoints are its work."""
    land(root, MIXED, commit_entries=7)
    for n in range(4):
        table = DeltaTable(root / "events")
        path = f"event_day=2026-10-0{n + 1}/part-ä {n}.parquet"
        table.create_write_transaction(
            [AddAction(path, 10 + n, {"event_day": f"2026-10-0{n + 1}"}, 0, data_change=True, stats='{"numRecords": 1}')],
            "append", EVENTS.schema, ["event_day"],
            commit_properties=CommitProperties(custom_metadata={}, app_transactions=[Transaction("land/é/g", n)]),
        )  # fmt: skip
        same(root, EVENTS)
        if n % 2:
            DeltaTable(root / "events").create_checkpoint()
            same(root, EVENTS)
    ours = Lake(root).open(EVENTS)
    assert ours.snapshot.checkpoint == ours.version
    # A checkpoint of ours that rests on one of deltalake's.
    again = ours.commit([], versions={"x": 1}, info={})
    tables.write_checkpoint(LocalStore(root), EVENTS, again.snapshot)
    same(root, EVENTS)
    assert len(DeltaTable(root / "events").get_add_actions()) == len(again.files())


@pytest.mark.integration
def test_a_commit_of_each_is_seen_by_the_other(root: Path) -> None:
    """During an upgrade, workers of two releases may write to one lake."""
    ours, theirs = Lake(root).open(READS), DeltaTable(root / "reads")

    def commit_theirs(app: str) -> None:
        theirs.create_write_transaction(
            [], "append", READS.schema,
            commit_properties=CommitProperties(app_transactions=[Transaction(app, 1)]),
        )  # fmt: skip

    commit_theirs("theirs")
    made = ours.commit([], versions={"ours": 1}, info={})
    assert (made.version, made.transaction_version("theirs")) == (2, 1)
    commit_theirs("theirs too")
    same(root, READS)
    assert Lake(root).open(READS).version == 3


# What the reader makes of a log.


def committed(place: MemoryStore | Path, commits: int = 6, shape: TableShape = EVENTS) -> Table:
    """Commits without data files, which opening a table does not need."""
    lake = Lake(place)
    lake.create()
    table = lake.open(shape)
    for n in range(commits):
        part = tables.Part(f"event_day=2026-10-01/part-{n}.parquet", 1, 1, "2026-10-01")
        table = table.commit([part], versions={"land/s/g": n}, info={"n": n})
    return table


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Six commits to `events`, with checkpoints 2, 4 and 6."""
    monkeypatch.setattr(tables, "CHECKPOINT_COMMITS", 2)
    made = MemoryStore()
    committed(made)
    return made


def test_a_version_rests_on_the_newest_checkpoint_before_it(store: MemoryStore) -> None:
    """And the state that a chain of commits has built is the one that opening finds."""
    for version, base in [(0, None), (1, None), (2, 2), (3, 2), (4, 4), (5, 4), (6, 6)]:
        found = snapshot.read(store, "events", version)
        assert (found.version, found.checkpoint, len(found.files)) == (version, base, version)
        assert found.apps.get("land/s/g") == (version - 1 if version else None)
    assert snapshot.read(store, "events").version == 6


@pytest.mark.parametrize(
    "hint", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 5}', b'{"version": 99}', b'{"version": "6"}']
)
def test_the_name_of_the_last_checkpoint_is_a_hint(store: MemoryStore, hint: bytes) -> None:
    """One bit of that file may be wrong: the log alone decides."""
    store.replace("events/_delta_log/_last_checkpoint", hint)
    assert snapshot.read(store, "events").version == 6
    store.delete("events/_delta_log/_last_checkpoint")
    assert snapshot.read(store, "events").version == 6


def test_the_log_is_whole_without_its_checkpoints(store: MemoryStore) -> None:
    """The remedy for a damaged checkpoint: delete it."""
    before = snapshot.read(store, "events")
    for version in (2, 4, 6):
        store.delete(checkpoint.key_of("events", version))
    after = snapshot.read(store, "events")
    assert (set(after.files), after.apps, after.checkpoint) == (set(before.files), before.apps, None)


HARMS: dict[str, bytes | None] = {
    "missing": None, "not text": b"\xff\xfe", "half a line": b'{"add":{"pa', "a list": b"[1]", "no path": b'{"add":{"size":1}}',
    "a path that is a number": b'{"add":{"path":1}}', "a version that is a text": b'{"txn":{"appId":"a","version":"1"}}',
    "metadata that are a text": b'{"metaData":"x"}',
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_entry_is_named(store: MemoryStore, harm: str) -> None:
    """By the error that all commands report as damage, with the remedy."""
    for version in (2, 4, 6):
        store.delete(checkpoint.key_of("events", version))
    key = entries.entry_key("events", 3)
    store.delete(key) if HARMS[harm] is None else store.replace(key, HARMS[harm] or b"")
    with pytest.raises(
        Damaged,
        match=rf"table events in memory.* cannot be opened \(.*{key}.*its newest commit is .*6\.json: `tollbook verify`",
    ):
        Lake(store).open(EVENTS)
    assert Lake(store).open(EVENTS, 2).version == 2


@pytest.mark.parametrize("content", [b'{"add":{"pa', b'{"metaData":{"schemaString":"x","configuration":null}}'])
def test_a_command_that_completes_a_lake_names_damage(store: MemoryStore, content: bytes) -> None:
    """It looks whether columns came later, before anything else opens the table."""
    store.create(entries.entry_key("events", 7), content)
    with pytest.raises(Damaged, match=r"events.* restore it from a backup"):
        Lake(store).create()


def test_any_flipped_byte_of_a_checkpoint_is_noticed_or_harmless(store: MemoryStore) -> None:
    """pyarrow raises many kinds of errors. None passes through, and `verify` compares what opens with the log."""
    key, lake = checkpoint.key_of("events", 6), Lake(store)
    whole, history = store.read(key), lake.history(EVENTS)
    noticed, complaints = 0, []
    for at in range(0, len(whole), 40):
        store.replace(key, whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            opened = Lake(store).open(EVENTS)
            if list(lake.opening_problems(EVENTS, history)):
                noticed += 1
            else:
                assert (len(opened.files()), opened.snapshot.apps["land/s/g"]) == (6, 5)
        except LakeError as exc:
            complaints.append(str(exc))
    assert noticed + len(complaints) > 20
    assert all("restore it from a backup" in complaint for complaint in complaints)


def test_a_checkpoint_that_is_cut_short_is_named(store: MemoryStore) -> None:
    key = checkpoint.key_of("events", 6)
    for content in (b"", store.read(key)[:100], b"PAR1" * 10):
        store.replace(key, content)
        with pytest.raises(Damaged, match=key):
            Lake(store).open(EVENTS)


def test_a_version_that_is_not_there_and_a_table_that_is_not_there(store: MemoryStore) -> None:
    with pytest.raises(Damaged, match="there is no version 7; the newest is 6"):
        Lake(store).open(EVENTS, 7)
    with pytest.raises(NoTable):
        snapshot.read(store, "nothing")
    for found in list(store.listing("events/")):
        store.delete(found.key)
    with pytest.raises(LakeError, match=r"table events is missing in memory.*restore the lake from a backup"):
        Lake(store).open(EVENTS)


def test_a_table_that_needs_a_newer_reader_is_refused(store: MemoryStore) -> None:
    """A tool that upgrades the protocol may leave out rows by means that this reader does not know."""
    store.create(
        entries.entry_key("events", 7), b'{"commitInfo":{}}\n{"protocol":{"minReaderVersion":3,"minWriterVersion":7}}'
    )
    with pytest.raises(Unreadable, match="no metadata that this version of Tollbook reads"):
        snapshot.read(store, "events")


def test_an_entry_may_hold_any_text() -> None:
    """Names of sources and files may contain what splits lines elsewhere than in JSON."""
    store = MemoryStore()
    lake = Lake(store)
    lake.create()
    odd = 'land/\u2028 \x85 é " \\ \n/g'
    lake.open(READS).commit([], versions={odd: 3}, info={odd: odd})
    assert lake.open(READS).transaction_version(odd) == 3
    assert lake.commit_info(READS, 1) == {odd: odd}


def test_a_checkpoint_knows_all_that_its_version_holds(store: MemoryStore) -> None:
    """Also the files that an earlier checkpoint names, with size and partition."""
    found = list(checkpoint.adds(store.read(checkpoint.key_of("events", 6))))
    assert sorted(add["path"] for add in found) == [f"event_day=2026-10-01/part-{n}.parquet" for n in range(6)]
    assert {(add["size"], add["partitionValues"]["event_day"], add["stats"]) for add in found} == {
        (1, str(date(2026, 10, 1)), '{"numRecords": 1}')
    }


def test_a_checkpoint_of_an_erasable_table_holds_no_file_that_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHECKPOINT_COMMITS", 2)
    store = MemoryStore()
    lake = Lake(store)
    lake.create()
    first = lake.write(PAYLOADS, PAYLOADS.schema.empty_table())
    table = lake.open(PAYLOADS).commit([first], versions={"a": 1}, info={})
    second = lake.write(PAYLOADS, PAYLOADS.schema.empty_table())
    table.commit([second], versions={"a": 2}, info={}, instead_of=table.files())
    assert lake.open(PAYLOADS).snapshot.checkpoint == 2
    assert list(lake.open(PAYLOADS).snapshot.files) == [second.path]
