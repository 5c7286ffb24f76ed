"""The lake on disk: commits are durable, fenced, and never half there."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake import tables as lake
from lake.tables import Fenced, LakeError
from schemas import tables
from schemas.tables import DUPLICATES


def row(event_id: str) -> pa.Table:
    return pa.Table.from_pylist(
        [{"source": "s", "event_id": event_id, "partner_id": "p", "position": 0, "item": 0}], DUPLICATES.schema
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lake.create(tmp_path / "lake")
    return tmp_path / "lake"


def test_a_new_lake_has_all_its_tables_and_making_it_again_changes_nothing(root: Path) -> None:
    """Safe to repeat."""
    before = {t: DeltaTable(root / t).version() for t in tables.ALL}
    lake.create(root)
    assert {t: DeltaTable(root / t).version() for t in tables.ALL} == before == dict.fromkeys(tables.ALL, 0)


def test_a_lake_whose_making_was_cut_short_is_completed(root: Path) -> None:
    """A kill among the tables must not leave a folder that nothing can use."""
    for path in sorted((root / "reads").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    lake.create(root)
    assert DeltaTable(root / "reads").version() == 0


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Nobody's data is written over."""
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(LakeError, match="not empty"):
        lake.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_a_missing_lake_is_named_with_the_remedy(tmp_path: Path) -> None:
    """One clear line."""
    with pytest.raises(LakeError, match="tollbook run --lake"):
        lake.pinned_files(tmp_path / "nowhere", DUPLICATES)


def test_rows_and_versions_come_in_one_commit(root: Path) -> None:
    """The next offset stands in the commit that holds the rows, twice: as transaction version and in the commit's
    info.
    """
    table = lake.open_table(root, DUPLICATES)
    part = lake.write_part(root, DUPLICATES, row("a"))
    assert lake.pinned_files(root, DUPLICATES) == []
    fresh = lake.commit(table, DUPLICATES, [part], versions={"land/s/g": 7}, info={"next": 7})
    assert fresh.transaction_version("land/s/g") == 7
    assert lake.commit_info(root, DUPLICATES, fresh.version()) == {"next": 7}
    assert lake.pinned_files(root, DUPLICATES) == lake.added_files(root, DUPLICATES, fresh.version())


def test_a_writer_with_an_old_snapshot_is_fenced(root: Path) -> None:
    """Two workers own one partition: the slower one must not add its rows, whatever offset it brings."""
    mine, zombies = lake.open_table(root, DUPLICATES), lake.open_table(root, DUPLICATES)
    lake.commit(mine, DUPLICATES, [lake.write_part(root, DUPLICATES, row("a"))], versions={"land/s/g": 7}, info={})
    for offset in (5, 7, 9):
        with pytest.raises(Fenced):
            lake.commit(
                zombies,
                DUPLICATES,
                [lake.write_part(root, DUPLICATES, row("b"))],
                versions={"land/s/g": offset},
                info={},
            )
    assert len(lake.pinned_files(root, DUPLICATES)) == 1


def test_writers_of_different_partitions_do_not_disturb_each_other(root: Path) -> None:
    """Different application ids never conflict."""
    one, other = lake.open_table(root, DUPLICATES), lake.open_table(root, DUPLICATES)
    lake.commit(one, DUPLICATES, [], versions={"land/s/a": 1}, info={})
    fresh = lake.commit(other, DUPLICATES, [], versions={"land/s/b": 1}, info={})
    assert fresh.transaction_version("land/s/a") == fresh.transaction_version("land/s/b") == 1


def test_workers_that_are_the_first_of_a_day_at_the_same_time_both_write(root: Path) -> None:
    """A new day begins for all land workers at once; the folder that the other has made meanwhile is no trouble of
    the disk.
    """
    shape = tables.EVENTS
    rows = pa.Table.from_pylist([], lake.file_schema(shape))
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(60)]
    together = threading.Barrier(4)

    def write(_: int) -> int:
        done = 0
        for day in days:
            together.wait(30)
            lake.write_part(root, shape, rows, day)
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [len(days)] * 4


def test_a_damaged_log_entry_is_named(root: Path) -> None:
    """A commit cut short is never read as empty."""
    lake.commit(lake.open_table(root, DUPLICATES), DUPLICATES, [], versions={"x": 1}, info={})
    entry = root / "duplicates" / "_delta_log" / f"{1:020d}.json"
    entry.write_text(entry.read_text()[:40])
    with pytest.raises(LakeError, match=entry.name):
        lake.commit_info(root, DUPLICATES, 1)
