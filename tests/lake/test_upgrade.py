"""From lake format 2 to 3: invoices keep their bytes, closes get lists, a killed upgrade leaves a lake of format 2."""

import errno
import json
import shutil
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregate import upkeep
from aggregate.upkeep import UpkeepRules
from aggregate.verify import prove
from billing.invoicing import closing, issuing
from lake.errors import LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.memory import MemoryStore
from lake.storage.store import Store
from lake.tables import MARKER, format_of
from lake.upkeep import upgrade
from schemas.tables import EVENTS
from tests.lake.faulty import failing, killed
from tests.lake.test_crashes import every
from tests.long import LONG

pytestmark = pytest.mark.integration

KEPT = Path(__file__).parents[1] / "billing" / "lakes_kept" / "rules-1.tar.gz"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A lake of format 2 with twelve invoices of six closes."""
    with tarfile.open(KEPT) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "lake"


def in_memory(root: Path) -> MemoryStore:
    """The lake without its documents."""
    store = MemoryStore()
    for path in root.rglob("*"):
        if path.is_file() and "documents" not in path.parts and path.suffix != ".lock":
            store.replace(str(path.relative_to(root)), path.read_bytes())
    return store


def upgraded(place: Path | Store) -> upgrade.Upgraded:
    return Lake(place).upgrade(copy=None, progress=lambda _: None)


def test_an_earlier_lake_says_how_it_is_upgraded(earlier: Path) -> None:
    with pytest.raises(LakeError, match=r"has lake format 2.*`tollbook lake upgrade --lake .*/lake --backup COPY`"):
        Lake(earlier).open(EVENTS)


def test_issued_invoices_verify_to_their_bytes(earlier: Path) -> None:
    """Also when every log is cut as far as possible afterwards: closes are read from their lists."""
    documents = {path.name: path.read_bytes() for path in (earlier / "documents").iterdir() if path.is_file()}
    done = upgraded(earlier)
    lake = Lake(earlier)
    assert done.closes == len(closing.all_closes(lake))
    assert upgraded(earlier) == upgrade.Upgraded(0, 0)
    for _ in range(2):
        checked = issuing.verify(lake)
        assert len(checked) == 12
        assert [problem for found in checked for problem in found.problems] == []
        assert prove(lake).problems == []
        list(upkeep.keep_up(lake, now=datetime(2026, 12, 1, tzinfo=UTC), rules=UpkeepRules(2, timedelta(0), 0)))
    assert {path.name: path.read_bytes() for path in (earlier / "documents").iterdir() if path.is_file()} == documents


@pytest.mark.parametrize(
    ("fault", "when"),
    [(killed, "before"), (killed, "after"), (failing(errno.ENOSPC), "before")],
    ids=["before", "after", "full"],
)
def test_an_upgrade_that_dies_anywhere_is_completed_by_the_next(
    earlier: Path, fault: Callable[[], None], when: str
) -> None:
    """Until its last step the lake is one of format 2, and its logs are whole."""
    plain = in_memory(earlier)
    logs = {found.key: plain.read(found.key) for found in plain.listing() if found.key.endswith(".json")}

    def check(store: Store) -> None:
        assert all(store.read(key) == content for key, content in logs.items() if key != MARKER and "last" not in key)
        upgraded(store)
        assert format_of(store) == 3
        assert prove(Lake(store)).problems == []

    every(plain, fault, when, upgraded, check, step=1 if LONG else 17)


def test_a_copy_is_compared_before_anything_is_changed(earlier: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(earlier, copy)
    (copy / "events" / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(LakeError, match=r"copy is not a copy of .*: events/_delta_log/0+1\.json .*Stop all workers"):
        Lake(earlier).upgrade(copy=copy, progress=lambda _: None)
    assert json.loads((earlier / MARKER).read_text())["format"] == 2
    shutil.rmtree(copy)
    shutil.copytree(earlier, copy)
    Lake(earlier).upgrade(copy=copy, progress=lambda _: None)
    assert format_of(LocalStore(earlier)) == 3
