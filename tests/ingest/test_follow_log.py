"""Files that are followed: whatever rotation does to them, and whenever the reader dies, each line is read once."""

import functools
import gzip
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode.pipeline import Decoder, SourceRules
from ingest.files import file_log
from ingest.files.block_reader import ReadBlock
from ingest.files.fingerprint import KnownFile, known_after
from ingest.files.follow_log import FollowLog
from ingest.files.open_files import NAMES_MAX, OpenFiles
from ingest.files.watcher import WatchedFiles
from schemas.log import Partition
from tests.ingest.fixtures import OWNERS, kong, line
from tests.long import amount


@functools.cache
def decoders() -> tuple[Decoder, Decoder]:
    """Created once: planning a format takes longer than reading a few lines."""
    return Decoder("kong", SourceRules("edge"), OWNERS), Decoder("kong", SourceRules("edge"), OWNERS)


class Site:
    """A gateway's log with its rotations, and a reader whose positions survive crashes."""

    def __init__(self, folder: Path, *, by_name: bool = False) -> None:
        self.folder = folder
        self.path = folder / "access.log"
        self.path.touch()
        self.away = folder.with_name(f"{folder.name}-away")
        self.away.mkdir()
        self.written: list[str] = []
        self.read: list[str] = []
        self.refused: list[str] = []
        self.problems: list[str] = []
        self.half = b""  # the rest of a line that was begun
        self.rotations = 0
        self.known: dict[str, KnownFile] = {}
        self.by_name = by_name
        self.log: FollowLog | None = None
        self.restart()

    def find(self) -> WatchedFiles:
        others = sorted(p for p in self.folder.iterdir() if p != self.path)
        mine = [self.path] if self.path.exists() else []
        return WatchedFiles(mine, others, [self.path]) if self.by_name else WatchedFiles([*others, *mine])

    def restart(self) -> None:
        """Die, and come again with what the lake knows."""
        if self.log is not None:
            self.log.close()  # its threads would go on with the decoders, which a dead process does not
        source = iter(decoders() * 2)
        self.log = FollowLog(self.find, "edge", list(self.known.values()), lambda: next(source))
        self.partitions: set[Partition] = set()
        self.log.start(self)

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        self.partitions |= set(partitions)
        return {p: self.known[p.generation].offset if p.generation in self.known else None for p in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.partitions -= set(partitions)

    def look(self, blocks: int = 99) -> None:
        """Read what is new, or some blocks of it."""
        self.log.wake()
        while blocks and (fetched := self.log.poll()):
            blocks -= 1
            assert fetched.partition in self.partitions
            name = fetched.partition.generation
            assert fetched.from_offset == (self.known[name].offset if name in self.known else 0)
            self.known[name] = known_after(fetched, self.known.get(name))
            self.read += fetched.events["event_id"].to_pylist()
            self.refused += fetched.refused["reason"].to_pylist()
        self.problems += self.log.problems
        self.log.problems = []

    def write(self, text: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text)

    def new_line(self) -> bytes:
        self.written.append(f"r{len(self.written)}")
        return line(kong(self.written[-1]))

    # What happens to a log.

    def whole(self) -> None:
        """A line, or the rest of one."""
        text, self.half = self.half or self.new_line(), b""
        self.write(text)

    def begun(self) -> None:
        """The first half of a line."""
        if not self.half:
            text = self.new_line()
            self.write(text[:100])
            self.half = text[100:]

    def renamed(self) -> None:
        """The writer notices later: a line that was begun is ended in the renamed file."""
        self._seen()
        self.rotations += 1
        moved = self.path.rename(self.folder / f"access.log.{self.rotations}")
        if self.half:
            with moved.open("ab") as file:
                file.write(self.half)
            self.half = b""
        self.path.touch()

    def copied(self) -> None:
        """copytruncate, at a line's end."""
        if self.half:
            self.whole()
        self._seen()
        self.rotations += 1
        shutil.copyfile(self.path, self.folder / f"access.log.{self.rotations}")
        self.path.write_bytes(b"")

    def packed(self) -> None:
        """The oldest rotated log is packed."""
        plain = sorted(p for p in self.folder.glob("access.log.*") if p.suffix not in {".gz", ".zst"})
        if plain:
            text = plain[0].read_bytes()
            zstd = len(plain[0].name) % 2
            to = plain[0].with_name(plain[0].name + (".zst" if zstd else ".gz"))
            to.write_bytes(pa.compress(text, codec="zstd", asbytes=True) if zstd else gzip.compress(text))
            plain[0].unlink()

    def archived(self) -> None:
        """Renamed to where nobody looks, or deleted; the writer notices later. A log that is followed by its one name is found."""
        if not self.by_name:
            return
        self.look()
        with self.path.open("ab") as writer:
            if self.half:
                writer.write(self.half)
                self.half = b""
            writer.write(self.new_line())
            self.rotations += 1
            if self.rotations % 2:
                self.path.rename(self.away / str(self.rotations))
            else:
                self.path.unlink()
            self.look()
            self.path.touch()
            writer.write(self.new_line())
            writer.flush()
            self.look()

    def _seen(self) -> None:
        """A log that is followed by its one name is known when it is rotated: a look has found a whole line in it."""
        if self.by_name:
            if self.half and b"\n" not in self.path.read_bytes():
                self.whole()
            self.look()


STEPS = ["whole", "whole", "begun", "renamed", "copied", "packed", "archived", "look", "look", "die at work", "restart"]


@pytest.mark.integration
@settings(max_examples=amount(20, 60))
@given(steps=st.lists(st.sampled_from(STEPS), max_size=40), by_name=st.booleans())
def test_whatever_happens_to_the_files_each_line_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], by_name: bool
) -> None:
    """Growth, incomplete lines, rotation by rename and copytruncate, compression, checks and crashes in any order."""
    site = Site(tmp_path_factory.mktemp("site"), by_name=by_name)
    for step in steps:
        if step == "die at work":
            site.look(blocks=1)
            site.restart()
        else:
            getattr(site, step)()
    if site.half:
        site.whole()
    site.look()
    site.look()
    assert Counter(site.read) == Counter(site.written)
    assert (site.refused, site.problems, site.log.waiting) == ([], [], {})


def test_a_log_that_is_renamed_before_its_first_line_is_whole_is_read_on(tmp_path: Path) -> None:
    """Only its inode, a similar name and the same beginning identify it."""
    site = Site(tmp_path, by_name=True)
    (tmp_path / "access.log.old").write_bytes(line(kong("stranger")))
    site.begun()
    site.look()
    moved = site.path.rename(tmp_path / "access.log.1")
    with moved.open("ab") as file:
        file.write(site.half)
    site.half = b""
    site.whole()
    site.look()
    assert sorted(site.read) == ["r0", "r1"]


def test_a_log_is_read_to_its_end_wherever_it_was_renamed_to(tmp_path: Path) -> None:
    """Also lines written after the last check, by a writer that still has the file open, or before the first line was complete."""
    site = Site(tmp_path, by_name=True)
    site.look()
    site.whole()
    with site.path.open("ab") as writer:
        site.path.rename(site.away / "old.log")
        site.whole()  # into a new file
        site.look()
        assert site.read == ["r0", "r1"]
        writer.write(site.new_line())
        writer.flush()
        site.look()
    assert site.read == ["r0", "r1", "r2"]
    assert {p.file for p in site.partitions} == {str(site.path), str(site.away / "old.log")}
    (site.away / "stranger.log").write_bytes(line(kong("stranger")))
    site.look()
    assert len(site.read) == 3


def test_what_a_link_led_to_before_is_read_to_its_end(tmp_path: Path) -> None:
    """Some gateways start a new file each day and move a symbolic link to it."""
    site = Site(tmp_path, by_name=True)
    site.path.unlink()
    days = [site.away / "day-1", site.away / "day-2"]
    for day in days:
        day.touch()
    site.path.symlink_to(days[0])
    site.look()
    site.whole()
    site.path.unlink()
    site.path.symlink_to(days[1])
    site.whole()
    site.look()
    assert site.read == ["r0", "r1"]


def held(folder: Path) -> list[str]:
    """The files in a folder and next to it that this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sorted(name for name in (str(link.readlink()) for link in links) if name.startswith(str(folder)))


def test_a_deleted_log_is_read_to_its_end_and_takes_no_room_afterwards(tmp_path: Path) -> None:
    """Deleting a log must free its disk space while a follower keeps running."""
    site = Site(tmp_path, by_name=True)
    site.whole()
    site.look()
    site.whole()
    site.path.unlink()
    for _ in range(2):  # its writer may have it open for as long as there is no other
        site.look()
        assert (site.read, held(tmp_path)) == (["r0", "r1"], [f"{site.path} (deleted)"])
    site.path.touch()
    site.look()
    site.look()
    assert held(tmp_path) == [str(site.path)]
    site.whole()
    site.look()
    assert site.read == ["r0", "r1", "r2"]


def test_a_log_that_is_renamed_grows_and_is_deleted_between_two_looks_is_read_to_its_end(tmp_path: Path) -> None:
    """Its writer is late, and the archive compresses and removes it at once."""
    site = Site(tmp_path, by_name=True)
    site.whole()
    site.look()
    moved = site.path.rename(site.away / "old.log")
    site.path.touch()
    site.look()
    with moved.open("ab") as writer:
        writer.write(site.new_line())
    moved.unlink()
    site.look()
    assert site.read == ["r0", "r1"]
    site.look()
    assert held(site.folder) == [str(site.path)]


def test_of_one_name_two_logs_are_held_at_most_and_none_when_nobody_follows(tmp_path: Path) -> None:
    """A follower runs for months."""
    site = Site(tmp_path, by_name=True)
    for i in range(5):
        site.whole()
        site.look()
        site.path.rename(site.away / str(i))
        site.path.touch()
        site.look()
    site.look()
    assert held(tmp_path) == [str(site.away / "4"), str(site.path)]
    del site.log
    assert held(tmp_path) == []
    assert len(site.read) == 5


def test_of_many_names_only_the_first_are_held(tmp_path: Path) -> None:
    """A shell may expand a glob to a thousand names; a process without descriptors cannot read anything."""
    names = [tmp_path / str(i) for i in range(NAMES_MAX + 5)]
    for name in names:
        name.touch()
    logs = OpenFiles()
    assert logs.moved(names) == []
    for name in names:
        name.rename(f"{name}.old")
    assert logs.moved(names) == [Path(f"{name}.old") for name in names[:NAMES_MAX]]


def test_a_line_cut_by_rotation_waits_and_is_refused_when_its_log_is_packed(tmp_path: Path) -> None:
    """Nothing is guessed: neither half becomes a request, and both are in the dead letters."""
    site = Site(tmp_path)
    site.whole()
    site.begun()
    site.look()
    assert site.log.waiting == {str(site.path): 100}
    shutil.copyfile(site.path, tmp_path / "access.log.1")
    site.path.write_bytes(b"")
    site.whole()  # its rest, at the beginning of the new log
    site.whole()
    site.look()
    assert (site.read, site.refused) == (["r0", "r2"], ["NOT_JSON"])
    assert site.log.waiting == {str(tmp_path / "access.log.1"): 100}
    site.packed()
    site.look()
    assert (site.read, site.refused) == (["r0", "r2"], ["NOT_JSON", "PARTIAL_LINE"])
    site.restart()
    site.look()
    assert len(site.refused) == 2


def test_another_log_in_the_inode_of_the_first_is_read_from_its_beginning(tmp_path: Path) -> None:
    """The file system reuses inode numbers; following by inode would continue in the middle of another log."""
    site = Site(tmp_path)
    site.whole()
    site.look()
    inode = site.path.stat().st_ino
    site.path.write_bytes(b"".join(site.new_line() for _ in range(3)))  # the same inode, longer, other content
    assert site.path.stat().st_ino == inode
    site.look()
    assert site.read == ["r0", "r1", "r2", "r3"]


def test_a_log_that_is_cut_and_grows_past_the_offset_while_it_is_read_is_not_taken_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """copytruncate may happen between the identification of a file and the read."""
    site = Site(tmp_path)
    site.whole()
    site.whole()
    site.look()
    site.whole()
    pieces = file_log.read_blocks

    def cut_before(*args: Any) -> Iterator[ReadBlock]:
        monkeypatch.setattr(file_log, "read_blocks", pieces)
        shutil.copyfile(site.path, tmp_path / "access.log.1")
        site.path.write_bytes(b"".join(site.new_line() for _ in range(6)))
        return pieces(*args)

    monkeypatch.setattr(file_log, "read_blocks", cut_before)
    site.look()
    assert site.read == ["r0", "r1"]
    site.look()
    assert Counter(site.read) == Counter(site.written)
    assert site.problems == []


def test_trouble_is_told_when_it_stays_and_only_once(tmp_path: Path) -> None:
    """A copy still being written looks damaged for a moment; a damaged file looks damaged again at the next check."""
    site = Site(tmp_path)
    packed = gzip.compress(b"".join(site.new_line() for _ in range(200)))
    half = tmp_path / "access.log.1.gz"
    half.write_bytes(packed[: len(packed) // 2])
    site.look()
    assert site.problems == []
    site.look()
    site.look()
    assert [problem.partition(": ")[2][:31] for problem in site.problems] == ["the gzip file ends too early; c"]
    half.write_bytes(packed)
    site.look()
    assert Counter(site.read) == Counter(site.written)


def test_nothing_new_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking a thousand rotated logs takes a thousand stat calls, and nothing else."""
    site = Site(tmp_path)
    for _ in range(3):
        site.whole()
        site.renamed()
    site.look()
    monkeypatch.setattr("ingest.files.follow_log.FileLog", None)
    site.look()
    assert len(site.read) == 3
