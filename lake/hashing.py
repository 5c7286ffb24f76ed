"""SHA-256 of files: of what is written while it is written, of what is there block by block."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK_BYTES = 1 << 20


class HashedFile:
    """A new file for whoever takes a file object; `sha256` is that of everything written so far. Durable when the block ends well.

    Raises OSError with the file's name: a disk that is full is told by path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether it can be written to no more."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        """All of `data`."""
        left = memoryview(data)
        self._digest.update(left)
        self.size_bytes += len(left)
        while left:
            left = left[self._written(left) :]
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size_bytes

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close it; what is on disk by then is up to the system."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if exc is None:
                os.fsync(self._file.fileno())
        except OSError as failed:
            raise OSError(failed.errno, failed.strerror, str(self._path)) from failed
        finally:
            self._file.close()

    def _written(self, data: memoryview) -> int:
        try:
            return self._file.write(data) or 0
        except OSError as failed:
            raise OSError(failed.errno, failed.strerror, str(self._path)) from failed


def sha256_of(path: Path) -> str:
    """Of a file that is there."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
