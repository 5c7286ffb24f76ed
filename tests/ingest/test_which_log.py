"""Which log a file is: lines without ids of their own count once, whatever was done to the files that hold them.

Each case is a rule of docs/decisions/004-generations-by-content.md. It holds for one run after another and for a follower.
"""

import bz2
import functools
import gzip
import lzma
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.decode.pipeline import Decoder, SourceRules
from ingest.files.block_reader import open_log
from ingest.files.file_log import FileLog
from ingest.files.fingerprint import KnownFile, known_after
from ingest.files.follow_log import FollowLog
from ingest.files.watcher import WatchedFiles
from schemas.log import Fetched, Partition
from tests.ingest.fixtures import OWNERS, kong, line


def text(*numbers: int) -> bytes:
    """One line for each number, without an id of its own."""
    return b"".join(map(one, numbers))


@functools.cache
def one(number: int) -> bytes:
    """A line whose request has a size that no other has."""
    return line(kong(None, request__size=number))


@functools.cache
def decoders() -> tuple[Decoder, Decoder]:
    return Decoder("kong", SourceRules("edge"), OWNERS), Decoder("kong", SourceRules("edge"), OWNERS)


class Lake:
    """What the lake knows of the logs of all sources, and what was counted."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], KnownFile] = {}
        self.counted: list[int] = []
        self.refused: list[str] = []
        self.source = "edge"

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        offsets = {p: self.known.get((p.source, p.generation)) for p in partitions}
        return {p: known.offset if known else None for p, known in offsets.items()}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """A renamed file is given up and taken over again."""

    def take(self, fetched: Fetched) -> None:
        key = fetched.partition.source, fetched.partition.generation
        known = self.known.get(key)
        assert fetched.from_offset == (known.offset if known else 0)
        self.known[key] = known_after(fetched, known)
        self.counted += fetched.events["request_bytes"].to_pylist()
        self.refused += fetched.refused["reason"].to_pylist()


class Site:
    """A folder of logs that is read again and again, by runs or by a follower."""

    def __init__(self, folder: Path, *, follows: bool) -> None:
        self.folder = folder
        self.lake = Lake()
        self.follows = follows
        self.problems: list[str] = []
        self._log: FollowLog | None = None
        self.block_bytes = 1 << 20

    def put(self, name: str, content: bytes, *, append: bool = False) -> Path:
        path = self.folder / name
        with path.open("ab" if append else "wb") as file:
            file.write(content)
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + len(list(self.folder.iterdir()))))
        return path

    def files(self) -> list[Path]:
        return sorted((p for p in self.folder.iterdir()), key=lambda p: (p.stat().st_mtime_ns, p.name))

    def restart(self) -> None:
        """A follower dies and starts again."""
        self._log = None

    def read(self, *names: str, source: str = "edge") -> list[str]:
        """Read what is new in the given files, or in all. Returns the problems."""
        files = [self.folder / name for name in names] or self.files()
        if self.follows:
            return self._look(files, source)
        made = iter(decoders() * 4)
        log = FileLog(files, source, list(self.lake.known.values()), lambda: next(made), block_bytes=self.block_bytes)
        log.start(self.lake)
        while fetched := log.poll():
            self.lake.take(fetched)
        log.close()
        return log.problems

    def _look(self, files: list[Path], source: str) -> list[str]:
        if self._log is None or source != self.lake.source:
            made = iter(decoders() * 4)
            known = list(self.lake.known.values())
            self._log = FollowLog(lambda: WatchedFiles(self.now), source, known, lambda: next(made))
            self._log.start(self.lake)
            self.lake.source = source
        problems = []
        self.now = files
        for _ in range(3):  # a problem is reported when two looks in a row have met it
            self._log.wake()
            while fetched := self._log.poll():
                self.lake.take(fetched)
            problems += self._log.problems
            self._log.problems = []
        return problems

    def counted(self) -> dict[int, int]:
        return dict(Counter(self.lake.counted))


@pytest.fixture(params=[False, True], ids=["run", "follow"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Site(folder, follows=request.param)


def once(*numbers: int) -> dict[int, int]:
    return dict.fromkeys(numbers, 1)


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
A, B, C = range(100), range(100, 200), range(200, 300)


@pytest.mark.sampled(keep=8)
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_concatenation_of_logs_that_were_read_is_not_counted_again(site: Site, packing: str, size: int) -> None:
    """`cat a.gz b.gz > day.gz`, and the same with the parts unpacked."""
    pack, a, b = PACKINGS[packing], A[:size], B[:size]
    site.put("a", pack(text(*a)))
    site.put("b", pack(text(*b)))
    site.read()
    site.put("day", pack(text(*a)) + pack(text(*b)))
    site.put("night", pack(text(*b, *a)))
    assert site.read() == []
    site.restart()
    assert site.read() == []
    assert site.counted() == once(*a, *b)


@pytest.mark.sampled(keep=6)
@pytest.mark.parametrize("order", [("a", "b", "day"), ("day", "a", "b"), ("b", "day", "a")])
@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_concatenation_is_found_beside_logs_that_were_never_read(site: Site, order: Sequence[str], size: int) -> None:
    """The three files of one run, in any order."""
    a, b = A[:size], B[:size]
    contents = {"a": text(*a), "b": text(*b), "day": text(*a, *b)}
    for name in order:
        site.put(name, gzip.compress(contents[name]))
    assert site.read() == []
    assert site.read() == []
    assert site.counted() == once(*a, *b)


def test_a_concatenation_that_was_read_first_makes_its_parts_copies(site: Site) -> None:
    site.put("day", text(*A, *B))
    site.read()
    site.put("a", text(*A))
    site.put("b", text(*B))
    assert site.read() == []
    assert site.counted() == once(*A, *B)


def test_a_concatenation_with_other_lines_is_refused_by_name(site: Site) -> None:
    site.put("a", text(*A))
    site.put("b", text(*B))
    site.read()
    day = site.put("day", text(*A, *B, *C))
    (problem,) = site.read()
    assert problem.startswith(f"{day} consists of logs that are read by themselves")
    assert "into a file of their own" in problem
    assert site.counted() == once(*A, *B)


def test_a_concatenation_that_is_still_being_written_waits(site: Site) -> None:
    site.put("a", text(*A))
    site.put("b", text(*B))
    site.read()
    whole = text(*A, *B)
    site.put("day", whole[: len(whole) - 3000])
    site.read()
    site.put("day", whole)
    assert site.read() == []
    assert site.counted() == once(*A, *B)


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize("banner", [b'{"started": "gateway 3.9"}\n', b"# gateway 3.9\n" * 400, text(9999)])
def test_logs_with_a_common_banner_do_not_wait_for_one_another(site: Site, banner: bytes) -> None:
    """The first log grows by more than the second has, and the second one is read all the same."""
    site.put("a", banner)
    site.read()
    site.put("b", banner)
    site.read()
    site.put("a", text(*A[:50]), append=True)
    assert site.read() == []
    site.put("b", text(*B[:3]), append=True)
    assert site.read() == []
    site.put("c", banner + text(*C[:2]))
    assert site.read() == []
    counted = site.counted()
    assert counted.pop(9999, 3) == 3, "each log has its own"
    assert counted == once(*A[:50], *B[:3], *C[:2])


def test_files_that_differ_only_in_the_middle_are_two_logs_or_refused(site: Site) -> None:
    site.put("a", text(*A, *B, *C))
    site.read()
    site.put("other", text(*A, *range(1000, 1100), *C))
    problems = site.read()
    assert any("begins with the same" in problem and "other" in problem for problem in problems)
    assert site.counted() == once(*A, *B, *C)


def test_entries_with_ids_of_their_own_are_read_from_a_log_that_begins_alike(site: Site) -> None:
    """They are recognized as duplicates, so that nothing has to be refused."""
    lines = [line(kong(f"id-{i}", request__size=i)) for i in range(300)]
    site.put("a", b"".join(lines[:200]))
    site.read()
    site.put("other", b"".join([*lines[:100], *lines[200:]]))
    assert site.read() == []
    assert set(site.counted()) == set(range(300))


@pytest.mark.parametrize("size", [3, 100])
@pytest.mark.slow
def test_the_same_file_under_another_source_is_refused_by_name(site: Site, size: int) -> None:
    path = site.put("a", text(*A[:size]))
    site.read()
    (problem,) = site.read(source="edge-2")
    assert str(path) in problem
    assert "--source edge" in problem
    site.put("a", text(*B[:size]), append=True)
    assert site.read(source="edge-2") or site.follows, "a follower has said so"
    assert site.counted() == once(*A[:size])
    assert site.read() == []
    assert site.counted() == once(*A[:size], *B[:size])


@pytest.mark.sampled(keep=8)
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_packed_copy_of_a_log_is_read_on_where_the_log_ended(site: Site, packing: str, size: int) -> None:
    path = site.put("a", text(*A[:size]))
    site.read()
    site.put("a.packed", PACKINGS[packing](text(*A[:size], *B)))
    assert site.read() == []
    path.unlink()
    assert site.read() == []
    site.put("again", text(*A[:size]))
    site.read()
    assert site.counted() == once(*A[:size], *B)


@pytest.mark.parametrize("cut", [1, 3, 60])
@pytest.mark.parametrize("half", [0, 20])
@pytest.mark.slow
def test_a_copy_of_a_part_is_no_log_and_read_on_when_it_has_grown(site: Site, cut: int, half: int) -> None:
    """Beside the log, before it is known, and after it is known and gone."""
    whole = text(*A)
    part = whole[: len(text(*A[:cut])) + half]
    site.put("copy", part)
    site.put("a", whole)
    site.read()
    (site.folder / "a").unlink()
    site.restart()
    problems = site.read()
    assert all("copy begins like a log" in problem and "finish or remove" in problem for problem in problems)
    site.put("copy", whole + text(*B))
    assert site.read() == []
    assert site.counted() == once(*A, *B)


@pytest.mark.parametrize("kept", [1, 3, 60])
def test_a_log_that_is_truncated_and_written_on_is_not_counted_again(site: Site, kept: int) -> None:
    path = site.put("a", text(*A))
    site.read()
    os.truncate(path, len(text(*A[:kept])))
    site.put("a", text(*B), append=True)
    (problem,) = site.read()
    assert "truncated and written again" in problem
    assert site.counted() == once(*A)


@pytest.mark.slow
def test_half_a_line_of_a_packed_copy_that_is_still_being_written_waits(tmp_path: Path) -> None:
    """The copy ends between two members of a gzip file, inside a line. Once it is whole, the line is whole."""
    whole = text(*range(400))
    cut = len(whole) - 100
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(whole[:cut]))
    lake, made = Lake(), iter(decoders() * 4)
    log = FileLog([path], "edge", [], lambda: next(made), block_bytes=4000)
    log.start(lake)
    fetched = log.poll()
    os.utime(path, ns=(0, 0))  # written to
    while fetched:
        lake.take(fetched)
        fetched = log.poll()
    log.close()
    assert list(log.waiting) == [str(path)]
    path.write_bytes(gzip.compress(whole[:cut]) + gzip.compress(whole[cut:]))
    log = FileLog([path], "edge", list(lake.known.values()), lambda: next(made))
    log.start(lake)
    while fetched := log.poll():
        lake.take(fetched)
    log.close()
    assert (sorted(lake.counted), lake.refused) == (list(range(400)), [])


def test_links_are_the_file_that_they_lead_to(site: Site) -> None:
    path = site.put("a", text(*A))
    (site.folder / "hard").hardlink_to(path)
    (site.folder / "soft").symlink_to(path)
    assert site.read() == []
    site.put("a", text(*B), append=True)
    assert site.read() == []
    assert site.counted() == once(*A, *B)


def test_an_empty_file_and_copytruncate(site: Site) -> None:
    path = site.put("a", b"")
    site.put("z.gz", gzip.compress(b""))
    site.read()
    site.put("a", text(*A), append=True)
    site.read()
    shutil.copyfile(path, site.folder / "a.1")
    path.write_bytes(b"")
    site.put("a", text(*B), append=True)
    site.put("a.1", text(*C), append=True)
    assert site.read() == []
    assert site.counted() == once(*A, *B, *C)


def test_a_file_that_was_read_to_its_end_is_not_opened_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of packed logs costs one status call for each."""
    for name, numbers in (("a.gz", A), ("b.gz", B)):
        site.put(name, gzip.compress(text(*numbers)))
    site.read()
    site.restart()
    monkeypatch.setattr("ingest.files.known_logs.open_log", None)
    assert site.read() == []
    assert site.counted() == once(*A, *B)


STEPS = [
    "write",
    "write",
    "write",
    "rename",
    "copytruncate",
    "pack",
    "join",
    "copy",
    "copy a part",
    "finish the copy",
    "link",
    "read",
    "read",
    "read",
    "die",
]


def unpacked(path: Path) -> bytes:
    with open_log(path) as file:
        return file.read()


class History:
    """What people, rotation and archives do to two gateways' logs, and what was written."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.written: list[int] = []
        self.done: list[str] = []
        self.whole = b""

    @property
    def others(self) -> list[Path]:
        """The files but for the logs and the copy of a part."""
        return sorted(p for p in self.site.folder.iterdir() if p.name not in {"a.log", "b.log", "part"})

    def do(self, step: str, choice: int) -> None:
        log = self.site.folder / ("a.log", "b.log")[choice % 2]
        new = f"{len(self.done)}x"
        files = [*self.others, *(p for p in (log,) if p.exists() and p.stat().st_size)]
        one = files[choice % len(files)] if files else None
        self.done.append(f"{step} {choice} {one.name if one else ''} {log.name} -> {new}")
        if step == "write":
            numbers = range(len(self.written), len(self.written) + 1 + choice % 30)
            self.site.put(log.name, text(*numbers), append=True)
            self.written += numbers
        elif step == "read":
            self.site.read()
        elif step == "die":
            self.site.restart()
        elif log.exists() and step in {"rename", "copytruncate"}:
            shutil.copyfile(log, self.site.folder / new) if step == "copytruncate" else log.rename(
                self.site.folder / new
            )
            log.write_bytes(b"")
        elif one is not None:
            self._copy(step, choice, one, new)

    def _copy(self, step: str, choice: int, one: Path, new: str) -> None:
        pack = list(PACKINGS.values())[choice % len(PACKINGS)]
        if step == "pack" and self.others:
            one = self.others[choice % len(self.others)]
            self.site.put(new, pack(unpacked(one)))
            one.unlink()
        elif step == "join" and len(self.others) > 1:
            another = self.others[(choice // 7) % len(self.others)]
            self.site.put(new, pack(unpacked(one)) + pack(unpacked(another)))
        elif step == "copy":
            shutil.copyfile(one, self.site.folder / new)
        elif step == "copy a part":
            self.whole = unpacked(one)
            self.site.put("part", self.whole[: len(self.whole) * (choice % 10) // 10])
        elif step == "finish the copy" and self.whole:
            self.site.put("part", self.whole)
        elif step == "link":
            (self.site.folder / new).hardlink_to(one)


@pytest.mark.integration
@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_done_to_files_each_line_counts_once_or_is_reported(site: Site, seed: int) -> None:
    """Nothing counts twice, and what was not counted is in a file with a problem."""
    chosen = random.Random(seed)
    history = History(site)
    for _ in range(chosen.randrange(2, 25)):
        history.do(chosen.choice(STEPS), chosen.randrange(1000))
        assert max(site.counted().values(), default=1) == 1, history.done
    problems = site.read()
    counted = site.counted()
    assert max(counted.values(), default=1) == 1
    missing = set(history.written) - set(counted)
    assert not missing or problems, f"{len(missing)} lines are in no count, and nothing was said"
