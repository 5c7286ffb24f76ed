"""SHA-256 of files: of a new one while it is written, of one in a store block by block."""

import hashlib

from lake.storage.store import NewFile, Store

_BLOCK_BYTES = 1 << 20


class HashedFile:
    """A new file of a store as a file object for pyarrow.

    `sha256` is the hash of everything that was written so far.
    """

    closed = False

    def __init__(self, new: NewFile) -> None:
        self._new = new
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """All of `data`."""
        view = memoryview(data)
        self._digest.update(view)
        self._new.write(view)
        self.size_bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size_bytes

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The store closes the file."""


def sha256_of(store: Store, key: str) -> str:
    """The hash of the bytes of a key. Raises OSError."""
    digest = hashlib.sha256()
    with store.open(key) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
