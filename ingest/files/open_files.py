"""Logs that are followed by their own names, held open: what is renamed or deleted meanwhile is found again, and read to its end.

What a log is and how far it was read is said by its content, as ever (ingest.files.fingerprint); a descriptor only leads to it. Linux tells
where an open file is now. Elsewhere nothing is held.
"""

import os
import stat
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NAMES_MAX = 100  # a process has some thousand descriptors at most, and the lake needs its own
_KEPT = 2  # of a name: the log that is there, and the one before it, which its writer may still have open
_DESCRIPTORS = Path("/proc/self/fd")


class OpenFiles:
    """The logs that were found under names. They are let go when it is."""

    def __init__(self) -> None:
        self._open: dict[Path, list[int]] = {}  # descriptors by name, the newest last
        self._ends: dict[int, tuple[int, int]] = {}  # size and time of change at the last look
        weakref.finalize(self, _close, self._open)

    def elsewhere(self, names: Sequence[Path]) -> list[Path]:
        """Hold what is under the names now. Paths to the logs that were there before and are not any more, older ones first."""
        if not _DESCRIPTORS.is_dir():
            return []
        return [path for name in names[:NAMES_MAX] for path in self._elsewhere(name)]

    def _elsewhere(self, name: Path) -> list[Path]:
        files = self._open.setdefault(name, [])
        self._let_go(files)
        there = _regular(name)
        if there is not None and not (files and os.path.samestat(there, os.fstat(files[-1]))):
            with suppress(OSError):  # gone again, or not to be read: whoever reads it tells
                files.append(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
        gone = [file for file in files if there is None or not os.path.samestat(there, os.fstat(file))]
        self._ends |= {file: _end(file) for file in gone}
        return [_path(file) for file in gone]

    def _let_go(self, files: list[int]) -> None:
        """Close what was replaced twice, and what was replaced and deleted, of which the last look has seen the end: it takes room."""
        for file in files[:-1]:
            is_over = os.fstat(file).st_nlink == 0 and self._ends.get(file) == _end(file)
            if is_over or file in files[:-_KEPT]:
                files.remove(file)
                self._ends.pop(file, None)
                os.close(file)


def _regular(name: Path) -> os.stat_result | None:
    """What is under a name, if it is a file: to open a pipe may be to wait for ever."""
    try:
        there = name.stat()
    except OSError:  # between two names
        return None
    return there if stat.S_ISREG(there.st_mode) else None


def _end(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_size, status.st_mtime_ns


def _path(file: int) -> Path:
    """Where an open file is now; one that was deleted is reached by its descriptor."""
    link = _DESCRIPTORS / str(file)
    with suppress(OSError):
        now = link.readlink()
        if os.path.samestat(now.stat(), os.fstat(file)):
            return now
    return link


def _close(opened: dict[Path, list[int]]) -> None:
    for files in opened.values():
        for file in files:
            os.close(file)
