"""Which of the files that are followed have changed, and which of their rotated copies still hold something to read.

A log that was named itself is found again wherever it was renamed to (ingest.files.open_files); its copies by their names and content.

A file is looked into only when its device, inode, size or time of change is another than at the last look. What it is, is
said by its content alone (ingest.files.fingerprint): an inode that is used again, a rename and a copy mislead nobody.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ingest.files import fingerprint
from ingest.files.block_reader import UnreadableFile
from ingest.files.fingerprint import FileChanged, KnownFile
from ingest.files.open_files import OpenFiles

_Print = tuple[int, int, int, int]


class WatchedFiles(NamedTuple):
    """`named`: the files to read, in order. `kin`: files that may be rotated copies of them, by their names.

    own: names of files, not of folders or globs: what is renamed away from there is read on.
    """

    named: Sequence[Path]
    kin: Sequence[Path] = ()
    own: Sequence[Path] = ()


class FileWatcher:
    """Looks at files again and again. `find` says which there are now."""

    def __init__(self, find: Callable[[], WatchedFiles]) -> None:
        self._find = find
        self._seen: dict[Path, _Print] = {}
        self._held = OpenFiles()

    def changed(self, known: Sequence[KnownFile]) -> list[Path]:
        """The files that changed since the last look; of kin those that are a known log. Rotated copies come first: they are older."""
        found = self._find()
        moved = [path for path in self._held.elsewhere(found.own) if self._is_new(path)]
        named = [path for path in found.named if self._is_new(path)]
        there = {self._seen[path][:2] for path in moved}
        names = {k.generation for k in known}
        kin = [
            path
            for path in found.kin
            if path not in found.named
            and self._is_new(path)
            and self._seen[path][:2] not in there
            and self._is_of(path, known, names)
        ]
        return [*kin, *moved, *named]

    def again(self, path: Path) -> None:
        """Look into a file at the next look, whether it changed or not."""
        self._seen.pop(path, None)

    def _is_new(self, path: Path) -> bool:
        try:
            now = path.stat()
        except OSError:  # it was there a moment ago: between two names, or gone
            self._seen.pop(path, None)
            return False
        print_ = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        if self._seen.get(path) == print_:
            return False
        self._seen[path] = print_
        return True

    def _is_of(self, path: Path, known: Sequence[KnownFile], names: set[str]) -> bool:
        try:
            return fingerprint.identify(path, known).generation in names
        except (UnreadableFile, FileChanged, OSError):  # a copy that is being made
            self.again(path)
            return False
