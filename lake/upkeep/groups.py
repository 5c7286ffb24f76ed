"""Which files a compaction rewrites together."""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from lake.tables import File

SMALL_BYTES = 16 << 20  # a smaller file is rewritten
GROUP_BYTES = 256 << 20  # compressed, rewritten at once; about 3 GB in memory
MIN_FILES = 16


class Group(NamedTuple):
    """Small files of one event day, or of a table without days, in the order in which they were added."""

    day: str | None
    files: tuple[File, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes or 0 for file in self.files)


def groups(
    files: Iterable[File],
    *,
    listed: Collection[str],
    until: int,
    min_files: int = MIN_FILES,
    group_bytes: int = GROUP_BYTES,
) -> Iterator[Group]:
    """The files to rewrite, the oldest day first.

    Files that a close lists (`listed`, paths) stay as they are: so no row is merged across a close, and nothing is
    stored twice. Nor are files rewritten that a commit after `until` added. A day with fewer than `min_files` small
    files is left alone, so that a file is not written again and again.
    """
    small = (f for f in files if f.size_bytes is not None and f.size_bytes < SMALL_BYTES)
    free = sorted((f for f in small if f.path not in listed and f.commit <= until), key=_place)
    for day, found in groupby(free, key=_day):
        some: list[File] = []
        taken = 0
        for file in found:
            some.append(file)
            taken += file.size_bytes or 0
            if taken >= group_bytes:
                yield Group(day, tuple(some))
                some, taken = [], 0
        if len(some) >= max(min_files, 2):
            yield Group(day, tuple(some))


def _place(file: File) -> tuple[str, int, str]:
    return _day(file) or "", file.commit, file.path


def _day(file: File) -> str | None:
    folder = file.path.rpartition("/")[0]
    return folder.removeprefix("event_day=") or None
