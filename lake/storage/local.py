"""A store in a folder of this machine. A key is the path of a file below the folder.

Every write is synced: the file, and the folder that holds its name.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lake import atomic_file, lock
from lake.storage.store import Listed

# Files that `lake.atomic_file` is writing, or that a killed process has left: they are no keys.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The files below `root`. The folder need not exist; the first write makes it, readable by its owner alone."""

    root: Path

    def __str__(self) -> str:
        """The folder as it was named."""
        return str(self.root)

    def listing(self, prefix: str = "", *, after: str = "") -> Iterator[Listed]:
        """Files only. Keys are found lazily, so a caller that needs one key does not wait for all."""
        yield from _listing(str(self.root / prefix), prefix, after)

    def stat(self, key: str) -> Listed:
        """Size and time of a file."""
        found = Path(self._path(key)).stat()
        return Listed(key, found.st_size, found.st_mtime_ns // 1_000)

    def read(self, key: str) -> bytes:
        """All bytes of a file."""
        with self.open(key) as file:
            return file.read()

    def open(self, key: str) -> BinaryIO:
        """A file, unbuffered."""
        return Path(self._path(key)).open("rb", buffering=0)

    def create(self, key: str, content: bytes, *, secret: bool = False) -> bool:
        """A synced file is linked to its name, which fails if the name exists."""
        path = self._place(key)
        return not path.exists() and atomic_file.make(path, content, mode=0o600 if secret else 0o666)

    def replace(self, key: str, content: bytes) -> None:
        """A synced file is renamed to its name."""
        atomic_file.replace(self._place(key), content)

    @contextmanager
    def writing(self, key: str) -> Iterator["_LocalFile"]:
        """Written in place: no reader knows the name before a commit has it."""
        path = self._place(key)
        with path.open("wb", buffering=0) as file:
            new = _LocalFile(file, str(path))
            yield new
            new.sync()
        atomic_file.sync(path.parent)

    def delete(self, key: str) -> None:
        """Delete a file."""
        Path(self._path(key)).unlink(missing_ok=True)

    def sync(self, key: str) -> None:
        """Sync a file or a folder."""
        atomic_file.sync(self.root / key)

    def address(self, key: str) -> str:
        """The absolute path."""
        return f"{self.root.absolute()}/{key}"

    def named(self, key: str) -> str:
        """The path, relative if the folder was named so."""
        return self._path(key).removesuffix("/")

    def folder(self) -> Path:
        """The folder itself."""
        return self.root

    def lock(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        """A lock on a file of the folder."""
        return lock.held(self.root / name, wait=wait)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _place(self, key: str) -> Path:
        """The path of a key, with the folders above it, which are synced as they are made."""
        path = self.root / key
        if not path.parent.exists():
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in reversed(path.relative_to(self.root).parents[:-1]):
                if not (self.root / folder).exists():
                    (self.root / folder).mkdir(exist_ok=True)  # another process may be quicker
                    atomic_file.sync((self.root / folder).parent)
        return path


class _LocalFile:
    """Raises OSError with the name of the file: the message of a full disk names the path."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name

    def write(self, data: memoryview) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, self._name) from exc

    def sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, self._name) from exc


def _listing(folder: str, prefix: str, after: str) -> Iterator[Listed]:
    """In the order of the keys: a folder stands where its name with `/` would."""
    try:
        with os.scandir(folder) as entries:
            names = [
                (f"{prefix}{e.name}/" if e.is_dir() else f"{prefix}{e.name}", e)
                for e in entries
                if not _UNFINISHED.fullmatch(e.name)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return
    names.sort(key=lambda named: named[0])
    for key, entry in names:
        if key.endswith("/"):
            # Keys below it are greater than `after` in part, if `after` is one of them.
            if key > after or after.startswith(key):
                yield from _listing(entry.path, key, after)
        elif key > after:
            try:
                found = entry.stat()
            except FileNotFoundError:  # deleted since it was listed
                continue
            yield Listed(key, found.st_size, found.st_mtime_ns // 1_000)
