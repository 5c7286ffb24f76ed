"""A store in the memory of this process, for tests and for lakes that are not kept."""

import io
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import BinaryIO

from lake.lock import Taken
from lake.storage.store import Listed

_SCHEME = "memory://"
_numbers = count(1)
_stores: weakref.WeakValueDictionary[str, "MemoryStore"] = (
    weakref.WeakValueDictionary()
)  # by host, to resolve addresses


class MemoryStore:
    """Keys and their bytes. Threads may share one. It knows no times, and durability asks nothing of it."""

    def __init__(self) -> None:
        self._host = str(next(_numbers))
        self._content: dict[str, bytes] = {}
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        _stores[self._host] = self

    def __str__(self) -> str:
        """The address of the whole store."""
        return f"{_SCHEME}{self._host}"

    def listing(self, prefix: str = "", *, after: str = "") -> Iterator[Listed]:
        """As of the first step."""
        with self._guard:
            found = sorted(
                (key, len(text)) for key, text in self._content.items() if key.startswith(prefix) and key > after
            )
        yield from (Listed(key, size, None) for key, size in found)

    def stat(self, key: str) -> Listed:
        """The size of a key; times are not kept."""
        return Listed(key, len(self.read(key)), None)

    def read(self, key: str) -> bytes:
        """All bytes of a key."""
        try:
            return self._content[key]
        except KeyError:
            raise FileNotFoundError(2, "No such key", self.named(key)) from None

    def open(self, key: str) -> BinaryIO:
        """The bytes as they are now."""
        return io.BytesIO(self.read(key))

    def create(self, key: str, content: bytes, *, secret: bool = False) -> bool:
        """Under a lock."""
        with self._guard:
            if key in self._content:
                return False
            self._content[key] = content
            return True

    def replace(self, key: str, content: bytes) -> None:
        """Under a lock."""
        with self._guard:
            self._content[key] = content

    @contextmanager
    def writing(self, key: str) -> Iterator["_MemoryFile"]:
        """Kept when the block ends."""
        new = _MemoryFile()
        yield new
        self.replace(key, bytes(new.content))

    def delete(self, key: str) -> None:
        """Forget a key."""
        with self._guard:
            self._content.pop(key, None)

    def sync(self, key: str) -> None:
        """A key that is absent cannot be synced; otherwise nothing is to be done."""
        if not key.endswith("/"):
            self.read(key)

    def address(self, key: str) -> str:
        """`memory://`, the number of the store, and the key."""
        return f"{self}/{key}"

    def named(self, key: str) -> str:
        """The address."""
        return self.address(key).removesuffix("/")

    def folder(self) -> None:
        """There is none."""

    @contextmanager
    def lock(self, name: str, *, wait: bool) -> Iterator[None]:
        """A lock among threads."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        if not lock.acquire(blocking=wait):
            raise Taken(self.named(name))
        try:
            yield
        finally:
            lock.release()


def resolved(address: str) -> tuple[MemoryStore, str] | None:
    """The store and the key of an address in memory; None for any other address.

    Raises FileNotFoundError if the store is gone.
    """
    if not address.startswith(_SCHEME):
        return None
    host, _, key = address.removeprefix(_SCHEME).partition("/")
    store = _stores.get(host)
    if store is None:
        raise FileNotFoundError(2, "No such store", address)
    return store, key


class _MemoryFile:
    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: memoryview) -> None:
        self.content += data
