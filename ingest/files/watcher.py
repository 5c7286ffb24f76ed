"""The file watcher: which followed files have changed, and which rotated copies still have unread lines.

A file that was named itself is found again under any new name (ingest.files.open_files); its rotated copies are found
by name and content. A file is read only if its device, inode, size or time of change differs from the last check. Its
content alone says which log it is (ingest.files.fingerprint), so that reused inodes, renames and copies mislead nobody.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ingest.files.block_reader import UnreadableFile
from ingest.files.fingerprint import FileChanged, KnownFile
from ingest.files.known_logs import KnownLogs
from ingest.files.open_files import OpenFiles

_StatKey = tuple[int, int, int, int]


class WatchedFiles(NamedTuple):
    """`named`: the files to read, in order. `rotated`: files that may be rotated copies of them, by their names.

    `followed`: files that were named themselves, not by folder or glob. If such a file is renamed, it is read to its
    end.
    """

    named: Sequence[Path]
    rotated: Sequence[Path] = ()
    followed: Sequence[Path] = ()


class FileWatcher:
    """Checks files again and again. `find` gives the current ones."""

    def __init__(self, find: Callable[[], WatchedFiles]) -> None:
        self._find = find
        self._seen: dict[Path, _StatKey] = {}
        self._open_files = OpenFiles()

    def changed(self, known: Sequence[KnownFile]) -> list[Path]:
        """Files that changed since the last check, rotated copies of known logs first: they are older."""
        found = self._find()
        moved = [path for path in self._open_files.moved(found.followed) if self._is_new(path)]
        named = [path for path in found.named if self._is_new(path)]
        there = {self._seen[path][:2] for path in moved}
        logs: KnownLogs | None = None
        rotated = []
        for path in found.rotated:
            if path not in found.named and self._is_new(path) and self._seen[path][:2] not in there:
                logs = logs or KnownLogs(known)
                rotated += [path] if self._is_of(path, logs) else []
        return [*rotated, *moved, *named]

    def recheck(self, path: Path) -> None:
        """Read a file again at the next check, whether it changed or not."""
        self._seen.pop(path, None)

    def _is_new(self, path: Path) -> bool:
        try:
            now = path.stat()
        except OSError:  # renamed or deleted since the listing
            self._seen.pop(path, None)
            return False
        stat_key = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        if self._seen.get(path) == stat_key:
            return False
        self._seen[path] = stat_key
        return True

    def _is_of(self, path: Path, logs: KnownLogs) -> bool:
        try:
            return logs.identify(path).generation in logs.names
        except (UnreadableFile, FileChanged, OSError):  # a copy still being written
            self.recheck(path)
            return False
