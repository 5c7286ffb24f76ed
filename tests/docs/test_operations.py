"""The repair of docs/operations.md, done as the page says, on commits that were cut in each way that a disk can cut
them.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aggregate.verify import prove
from billing.catalog import loading
from lake.errors import LakeError
from lake.lake import Lake
from schemas.tables import PAYLOADS
from tests.aggregate.fixtures import now
from tests.docs.pages import ROOT, block
from tollbook.demo import sample_logs
from tollbook.local_run import run

pytestmark = pytest.mark.integration

CATALOG = ROOT / "examples" / "catalog"
DERIVED_TABLES = ("rollups", "duplicates", "dead", "texts", "redriven", "withdrawn", "reads", "ingested")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, sample_logs.DemoFile]:
    """A lake into which two logs were landed, and the last of them."""
    root = tmp_path_factory.mktemp("month")
    first, *_, last = sample_logs.write_month(root / "logs", requests=2_000)
    land(root / "lake", first)
    land(root / "lake", last)
    return root / "lake", last


@pytest.fixture
def lake(month: tuple[Path, sample_logs.DemoFile], tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return Path(shutil.copytree(month[0], tmp_path / "lake"))


def land(lake: Path, file: sample_logs.DemoFile) -> None:
    run.run(Lake(lake), loading.load(CATALOG), [file.path], format_name=file.format, source=file.source, now=now)


def newest(lake: Path, table: str) -> Path:
    return max((lake / table / "_delta_log").glob("*.json"))


def cut(commit: Path, how: str) -> None:
    """What was not on disk yet when the power went."""
    text = commit.read_bytes()
    lines = text.splitlines(keepends=True)
    left = {"all": b"", "half": text[: len(text) // 2], "last line": b"".join(lines[:-1])}[how]
    assert left != text
    commit.write_bytes(left)


def shell(name: str, lake: Path, **names: str) -> str:
    """A block of the page, run as it stands there."""
    script = ["/bin/sh", "-uc", block("docs/operations.md", name)]
    return subprocess.run(
        script, env={**os.environ, "LAKE": str(lake), **names}, capture_output=True, text=True, check=True
    ).stdout


def repair(lake: Path, commit: Path) -> None:
    aside = lake.parent / f"aside-{commit.parent.parent.name}-{commit.stem}"
    aside.mkdir()
    shell("repair", lake, TABLE=commit.parent.parent.name, VERSION=commit.stem, ASIDE=str(aside))


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["all", "half", "last line"])
def test_a_cut_commit_is_repaired_as_the_page_says(
    month: tuple[Path, sample_logs.DemoFile], lake: Path, missing: str
) -> None:
    """Whoever needs this page has no time to find out that it is wrong."""
    before = prove(Lake(lake))
    assert not before.problems
    damaged = [newest(lake, table) for table in ("events", *DERIVED_TABLES)]
    for commit in damaged:
        cut(commit, missing)
    found = {Path(line) for line in shell("find", lake).splitlines()}
    assert found == (set() if missing == "last line" else set(damaged))
    for commit in damaged:
        repair(lake, commit)
    land(lake, month[1])
    after = prove(Lake(lake))
    assert after.problems == []
    assert after.totals() == before.totals()


def test_a_backup_without_texts_is_a_whole_lake_but_for_texts(
    month: tuple[Path, sample_logs.DemoFile], lake: Path, tmp_path: Path
) -> None:
    """What is kept for years must not hold what may be kept for months, and must still prove what was billed."""
    before = prove(Lake(lake))
    assert Lake(lake).files(PAYLOADS)
    (tmp_path / "bin").mkdir()  # neither is everywhere
    for name, does in (
        ("flock", 'shift; exec "$@"'),
        ("rsync", 'exec tar -C "$5" --exclude=./texts -cf - . | tar -C "$6" -xf -'),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "backup").mkdir()
    shell("without-texts", lake, BACKUP=str(tmp_path / "backup"), PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    restored = tmp_path / "backup"
    assert (restored / "dead").is_dir()
    assert not (restored / "texts").exists()
    land(restored, month[1])
    after = prove(Lake(restored))
    assert after.problems == []
    assert after.totals() == before.totals()
    assert all(Path(file).exists() for file in Lake(restored).files(PAYLOADS)), "a table that nobody can read"


@pytest.mark.slow
def test_later_commits_of_a_derived_table_are_removed_with_the_cut_one(
    month: tuple[Path, sample_logs.DemoFile], lake: Path
) -> None:
    """Rollups without the end of a commit are noticed, by the run or by the proof; the sums come out as they were."""
    damaged = newest(lake, "rollups")
    cut(damaged, "last line")
    noticed: list[str] = []
    try:
        land(lake, month[1])
    except LakeError as exc:
        noticed.append(str(exc))
    assert noticed + prove(Lake(lake)).problems
    for commit in sorted((c for c in damaged.parent.glob("*.json") if c >= damaged), reverse=True):
        repair(lake, commit)
    land(lake, month[1])
    assert prove(Lake(lake)).problems == []


def test_a_commit_that_others_rest_on_is_distinguished(lake: Path) -> None:
    """The page sends such a lake to the backup, by what `tollbook verify` says of it."""
    cut(newest(lake, "events"), "half")
    repair(lake, newest(lake, "events"))
    assert any("has followed events to version" in problem for problem in prove(Lake(lake)).problems)
