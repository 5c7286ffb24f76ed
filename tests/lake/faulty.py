"""A store that fails or stops at the nth operation, and records what was asked of it.

Where something else is to happen at a step, such as a commit of another worker, the fault is a function that does it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

from lake.storage.store import Listed, NewFile, Store

CHANGES = frozenset({"create", "replace", "write", "delete", "sync"})
READS = frozenset({"listing", "stat", "read", "open"})


class Killed(BaseException):
    """Stands for the process dying: nothing below may catch it."""


class Operation(NamedTuple):
    """One call of a store."""

    name: str
    key: str


def killed() -> None:
    """The process dies here."""
    raise Killed


def failing(number: int) -> Callable[[], None]:
    """The disk answers with an error."""

    def fail() -> None:
        raise OSError(number, "injected")

    return fail


def writes(operation: Operation) -> bool:
    """Whether a data file is written."""
    return operation.name == "write"


def commits(operation: Operation) -> bool:
    """Whether a commit is made, to any table."""
    return operation.name == "create" and "/_delta_log/" in operation.key


def commits_to(table: str) -> Callable[[Operation], bool]:
    """Whether a commit is made to one table."""
    return lambda operation: commits(operation) and operation.key.startswith(f"{table}/")


class FaultyStore:
    """Another store, at the nth operation of which something happens: before it, halfway, or after it.

    `halfway` is for new files: a half of the bytes of one write is there. `counted` says which operations are counted.
    """

    def __init__(
        self,
        inner: Store,
        nth: int = 0,
        fault: Callable[[], None] = killed,
        *,
        when: str = "before",
        counted: Callable[[Operation], bool] = lambda operation: operation.name in CHANGES,
    ) -> None:
        assert when in {"before", "halfway", "after"}
        self._inner, self._nth, self._fault, self._when, self._counted = inner, nth, fault, when, counted
        self._left = nth
        self._guard, self._is_dead = Lock(), False
        self.operations: list[Operation] = []

    @property
    def struck(self) -> bool:
        """Whether the fault has happened."""
        return self._nth > 0 and self._left <= 0

    def __str__(self) -> str:
        return str(self._inner)

    def listing(self, prefix: str = "", *, after: str = "") -> Iterator[Listed]:
        with self._step("listing", prefix):
            return iter(list(self._inner.listing(prefix, after=after)))

    def stat(self, key: str) -> Listed:
        with self._step("stat", key):
            return self._inner.stat(key)

    def read(self, key: str) -> bytes:
        with self._step("read", key):
            return self._inner.read(key)

    def open(self, key: str) -> BinaryIO:
        with self._step("open", key):
            return self._inner.open(key)

    def create(self, key: str, content: bytes, *, secret: bool = False) -> bool:
        with self._step("create", key):
            return self._inner.create(key, content, secret=secret)

    def replace(self, key: str, content: bytes) -> None:
        with self._step("replace", key):
            self._inner.replace(key, content)

    @contextmanager
    def writing(self, key: str) -> Iterator[NewFile]:
        with self._step("write", key) as is_torn, self._inner.writing(key) as new:
            yield _Torn(new, self._strike) if is_torn else new

    def delete(self, key: str) -> None:
        with self._step("delete", key):
            self._inner.delete(key)

    def sync(self, key: str) -> None:
        with self._step("sync", key):
            self._inner.sync(key)

    def address(self, key: str) -> str:
        return self._inner.address(key)

    def named(self, key: str) -> str:
        return self._inner.named(key)

    def folder(self) -> Path | None:
        return self._inner.folder()

    def lock(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        return self._inner.lock(name, wait=wait)

    @contextmanager
    def _step(self, name: str, key: str) -> Iterator[bool]:
        """Around one operation. True: it is to fail halfway."""
        operation = Operation(name, key)
        with self._guard:
            if self._is_dead:
                raise Killed
            self.operations.append(operation)
            strikes = False
            if self._counted(operation):
                self._left -= 1
                strikes = self._left == 0
        if strikes and (self._when == "before" or (self._when == "halfway" and name != "write")):
            self._strike()
        yield strikes and self._when == "halfway"
        if strikes and self._when == "after":
            self._strike()

    def _strike(self) -> None:
        try:
            self._fault()
        except Killed:
            self._is_dead = True  # threads of a dead process do nothing more
            raise


class _Torn:
    """A file of which the first write is cut."""

    def __init__(self, new: NewFile, fault: Callable[[], None]) -> None:
        self._new, self._fault = new, fault

    def write(self, data: memoryview) -> None:
        self._new.write(data[: len(data) // 2])
        self._fault()
