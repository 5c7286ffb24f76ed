"""Followed logs are kept open, so that a renamed or deleted log is found again and read to its end.

Its content alone says what a log is and how far it was read (ingest.files.fingerprint); a descriptor only leads to it.
On Linux an open file tells its current path. On other systems no file is kept open.
"""

import os
import stat
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NAMES_MAX = 100  # a process has about a thousand descriptors, and the lake needs some
_KEPT = 2  # per name: the current log and the previous one, which its writer may still have open
_DESCRIPTORS = Path("/proc/self/fd")


class OpenFiles:
    """The files that were found under some names. They are closed with this object."""

    def __init__(self) -> None:
        self._open: dict[Path, list[int]] = {}  # descriptors by name, the newest last
        self._ends: dict[int, tuple[int, int]] = {}  # size and time of change at the last check
        weakref.finalize(self, _close, self._open)

    def moved(self, names: Sequence[Path]) -> list[Path]:
        """Open the files now under the names. Returns the paths of files that moved away from there, oldest first."""
        if not _DESCRIPTORS.is_dir():
            return []
        return [path for name in names[:NAMES_MAX] for path in self._moved(name)]

    def _moved(self, name: Path) -> list[Path]:
        files = self._open.setdefault(name, [])
        self._close_old(files)
        there = _regular(name)
        if there is not None and not (files and os.path.samestat(there, os.fstat(files[-1]))):
            with suppress(OSError):  # gone again or unreadable: reading it reports that
                files.append(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
        gone = [file for file in files if there is None or not os.path.samestat(there, os.fstat(file))]
        self._ends |= {file: _end(file) for file in gone}
        return [_path(file) for file in gone]

    def _close_old(self, files: list[int]) -> None:
        """Close files that were replaced twice, and deleted files that were read to the end: they take disk space."""
        for file in files[:-1]:
            is_over = os.fstat(file).st_nlink == 0 and self._ends.get(file) == _end(file)
            if is_over or file in files[:-_KEPT]:
                files.remove(file)
                self._ends.pop(file, None)
                os.close(file)


def _regular(name: Path) -> os.stat_result | None:
    """The status of a regular file under a name. Opening a pipe could block for ever."""
    try:
        there = name.stat()
    except OSError:  # during a rename
        return None
    return there if stat.S_ISREG(there.st_mode) else None


def _end(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_size, status.st_mtime_ns


def _path(file: int) -> Path:
    """The current path of an open file; a deleted file is reached through its descriptor."""
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
