"""Files that cannot be read are named with a remedy, whatever a library says of them; a full disk is no damage."""

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from aggregate.retention import RetentionRule, erase
from aggregate.verify import prove
from billing.invoicing import closing, issuing
from billing.usage.warehouse import Warehouse
from lake import damage, duck
from lake import tables as lake
from lake.errors import Damaged, LakeError
from lake.lake import Lake
from schemas.tables import EVENTS, PAYLOADS, READS, ROLLUPS, TableShape
from tests.aggregate.fixtures import refusal
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, OCTOBER, books, land, request
from tollbook.cli import app
from tollbook.cli.errors import guarded

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = land(tmp_path_factory.mktemp("damage") / "lake", [*OCTOBER, refusal()])
    issuing.issue(
        Lake(root), closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW), now=NOW
    )
    return root


@pytest.fixture
def cut(whole: Path) -> Iterator[Callable[[TableShape], Path]]:
    """Cuts the end off a table's file, as a copy that was interrupted does."""
    was: dict[Path, bytes] = {}

    def damaged(shape: TableShape) -> Path:
        path = Path(Lake(whole).files(shape)[-1])
        was[path] = path.read_bytes()
        path.write_bytes(was[path][: len(was[path]) // 2])
        return path

    yield damaged
    for path, content in was.items():
        path.write_bytes(content)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("shape", [EVENTS, ROLLUPS, READS], ids=lambda shape: shape.name)
def test_a_cut_file_is_damage_for_every_command_that_reads_it(
    whole: Path, cut: Callable[[TableShape], Path], shape: TableShape, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the file's name and the remedy; never a traceback."""
    path = cut(shape)
    commands = {
        EVENTS.name: [["verify"]],
        ROLLUPS.name: [["verify"], ["invoice", "verify"]],
        READS.name: [["verify"], ["dead", "list"]],
    }
    for words in commands[shape.name]:
        assert app.run([*words, "--lake", str(whole)]) == 1, words
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        text = " ".join((captured.out + captured.err).split())
        assert path.name in text.replace(" ", "") or path.name in text, words
        assert "restore it from a backup" in text


def test_a_run_over_a_cut_file_names_it(whole: Path, cut: Callable[[TableShape], Path]) -> None:
    """Land reads the identities of a day; retention reads texts."""
    path = cut(EVENTS)
    day = path.parent.name.removeprefix("event_day=")
    with pytest.raises(Damaged, match=f"{path.name} is damaged and cannot be read .*; restore it from a backup"):
        land(whole, [request(f"{day}T12:00Z", name="again")], "again")
    path = cut(PAYLOADS)
    with pytest.raises(Damaged, match=f"{path.name} is damaged and cannot be read .*; restore it from a backup"):
        erase(Lake(whole), RetentionRule(1, NOW))


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("shape", [EVENTS, ROLLUPS, READS], ids=lambda shape: shape.name)
def test_any_flipped_bit_of_a_file_is_read_or_named(whole: Path, shape: TableShape) -> None:
    """DuckDB answers with six kinds of errors, a third of them without the file's name."""
    path = Path(Lake(whole).files(shape)[-1])
    content, draw = path.read_bytes(), random.Random(7)
    named = []
    try:
        for _ in range(60):
            damaged = bytearray(content)
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
            con = duck.connect()
            try:
                duck.scan(con, "events", [str(path)], shape)
                duck.ask(con, "FROM events")
                with Warehouse(Lake(whole), only=[shape.name]).con as other:
                    other.close()
            except Damaged as exc:
                named.append(str(exc))
    finally:
        path.write_bytes(content)
    assert len(named) > 10
    assert all(str(path) in problem and "restore it from a backup" in problem for problem in named)


def test_what_is_wrong_with_a_statement_is_no_damage(whole: Path) -> None:
    """All files can be read: the error is told as it is."""
    with pytest.raises(duckdb.BinderException):
        Warehouse(Lake(whole)).ask("SELECT nothing FROM events")
    with pytest.raises(OSError, match="elsewhere"), damage.named(lambda: Lake(whole).files(EVENTS)):
        raise OSError("elsewhere")
    with pytest.raises(pa.ArrowInvalid, match="elsewhere"), damage.named(list):
        raise pa.ArrowInvalid("elsewhere")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own for the lake, which is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("kilobytes", range(240, 330, 10))
def test_a_disk_that_is_full_at_any_step_is_to_be_tried_again(
    small_disk: Path, kilobytes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files, commits, checkpoints: exit code 75, the path, and a lake that is whole when there is space again."""
    monkeypatch.setattr(lake, "CHECKPOINT_COMMITS", 2)
    root = land(small_disk / "lake", OCTOBER)
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", small_disk], check=True)

    def fill() -> int:
        for n in range(100):
            land(root, [request("2026-11-02T12:00Z", name=str(n))], f"fill-{n}")
        return 0

    assert guarded(fill) == 75
    message = capsys.readouterr().err
    assert str(small_disk) in message
    assert "No space left on device" in message
    assert "repeat the command" in message
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    land(root, [request("2026-11-02T12:00Z", name="after")], "after")
    assert prove(Lake(root)).problems == []


def test_a_checkpoint_that_cannot_be_written_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit before it stands, and the next one makes the checkpoint."""
    monkeypatch.setattr(lake, "CHECKPOINT_COMMITS", 2)
    root = land(tmp_path / "lake", OCTOBER)
    in_the_way = root / "events" / "_delta_log" / f"{2:020d}.checkpoint.parquet"
    (in_the_way / "x").mkdir(parents=True)
    with pytest.raises(
        LakeError,
        match=r"events/_delta_log: the checkpoint of version 2 could not be written .*what was committed is whole",
    ):
        land(root, [request("2026-11-02T12:00Z")], "second")
    (in_the_way / "x").rmdir()
    in_the_way.rmdir()
    land(root, [request("2026-11-02T12:00Z")], "second")
    land(root, [request("2026-11-03T12:00Z")], "third")
    assert prove(Lake(root)).problems == []
    assert prove(Lake(root)).totals()["counted"] == len(OCTOBER) + 2
