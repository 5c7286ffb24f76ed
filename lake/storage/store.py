"""What a lake needs of the place where its bytes are: a few operations on keys.

A key is a relative path with `/`, such as `events/_delta_log/00000000000000000003.json`. No part of it is empty, `.` or
`..`. A key names bytes; there are no folders.

The commit protocol rests on `create`: of several writers of one key, exactly one succeeds, and when it returns, the
bytes and the key survive a power cut (docs/decisions/038-lake-object.md).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol


class Listed(NamedTuple):
    """What a store knows of a key without reading it."""

    key: str
    size_bytes: int
    modified_us: int | None  # since 1970; None: the store does not know. Only the search for orphans asks for it


class NewFile(Protocol):
    """A file while it is written."""

    def write(self, data: memoryview, /) -> None:
        """Append all of `data`."""


class Store(Protocol):
    """Where the bytes of one lake are. Errors are OSError; for a key that is absent, FileNotFoundError."""

    def listing(self, prefix: str = "", *, after: str = "") -> Iterator[Listed]:
        """The keys that begin with `prefix` and are greater than `after`, sorted as text.

        A prefix is empty or ends with `/`.

        What is created or deleted meanwhile may be missing or included.
        """

    def stat(self, key: str) -> Listed:
        """Size and time of a key."""

    def read(self, key: str) -> bytes:
        """All bytes of a key."""

    def open(self, key: str) -> BinaryIO:
        """The bytes of a key as a file that can be read in blocks and at any position. Close it."""

    def create(self, key: str, content: bytes, *, secret: bool = False) -> bool:
        """Write a key that is absent, durably. False: the key exists, and nothing was changed.

        A store that repeats a request whose answer was lost must still return True if the bytes there are its own.
        `secret`: only the owner may read it, where the store knows owners.
        """

    def replace(self, key: str, content: bytes) -> None:
        """Write a key, durably. Readers find the old bytes or the new ones, never a part."""

    def writing(self, key: str) -> AbstractContextManager[NewFile]:
        """A new file, for a key that nobody else writes. It is durable when the block ends without an exception.

        After an exception the key may be absent or hold a part of the bytes.
        """

    def delete(self, key: str) -> None:
        """Delete a key if it exists. The deletion is durable after `sync`."""

    def sync(self, key: str) -> None:
        """Make durable what others may not have synced: the bytes of a key, or the names below a prefix with `/`."""

    def address(self, key: str) -> str:
        """The address by which `lake.duck` reads a key.

        The address of a prefix is the beginning of those of its keys.
        """

    def named(self, key: str) -> str:
        """The key as people should see it in a message."""

    def folder(self) -> Path | None:
        """The folder of this machine that holds the keys, if there is one. Documents and scratch files go there."""

    def lock(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        """Hold a lock among the processes of this machine. Raises lake.lock.Taken unless it is to wait."""


def exists(store: Store, key: str) -> bool:
    """Whether a key exists."""
    try:
        store.stat(key)
    except FileNotFoundError:
        return False
    return True
