"""Data files that cannot be read raise `Damaged`, with the name of the file and the remedy.

What a library raises over a damaged Parquet file depends on which byte is wrong, and may name no file. So each file is
then read alone. What is raised although all files can be read is something else, and passes through unchanged.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lake.delta import checkpoint, entries
from lake.delta.snapshot import SHA256
from lake.errors import Damaged
from lake.storage import parquet
from lake.storage.hashing import sha256_of
from lake.storage.places import located
from lake.storage.store import Store, exists

# A damaged number in the description of a file may raise a bare Error of DuckDB, or the RuntimeError of its binding.
READING = (duckdb.Error, pa.ArrowException, OSError, RuntimeError)


@contextmanager
def named(files: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Around whatever reads Parquet files. `files` is asked for their addresses when something is raised."""
    try:
        yield
    except READING as exc:
        there = list(files())
        if problem := next(filter(None, chain(map(_unreadable, there), map(_changed, there))), None):
            raise Damaged(problem) from exc
        raise


def read(file: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one Parquet file, by its address. Raises Damaged, and FileNotFoundError if it is not there."""
    store, key = located(file)
    with named(lambda: [file] if exists(store, key) else []), store.open(key) as found:
        return pq.ParquetFile(found).read(None if columns is None else list(columns))


def _unreadable(file: str) -> str | None:
    """What is wrong with a file, read to its end."""
    store, key = located(file)
    if not exists(store, key):
        return _missing(file)
    try:
        with duckdb.connect(config={"threads": 1}) as con:
            parquet.relation(con, [file]).to_arrow_table()
    except READING as exc:
        if _is_full(exc):
            return None
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        return f"{file} is damaged and cannot be read ({reason}); restore it from a backup"
    return None


def _changed(file: str) -> str | None:
    """Whether it is not what was written: over a damaged file DuckDB may fail once and succeed the next time."""
    store, key = located(file)
    table, _, path = key.partition("/")
    for recorded in _recorded(store, table, path):
        try:
            differs = recorded != sha256_of(store, key)
        except FileNotFoundError:  # of an erasable table: it was replaced meanwhile
            return _missing(file)
        if differs:
            return f"{file} was changed after it was written: its SHA-256 is not the one in the commit that added it; restore it from a backup"
    return None


def _recorded(store: Store, table: str, path: str) -> Iterator[str]:
    """The hash of a file, from the commit or from a checkpoint that lists it."""
    for listed in store.listing(entries.log_prefix(table)):
        if entries.entry_version(listed.key) is not None:
            stated = entries.statement(entries.read(store, listed.key), store.named(listed.key))
            found = stated.get("sha256", {}).get(path)
        elif checkpoint.version_of(listed.key) is not None:
            found = next(
                (a["tags"].get(SHA256) for a in checkpoint.adds(store.read(listed.key)) if a["path"] == path), None
            )
        else:
            continue
        if found:
            yield found
            return


def _missing(file: str) -> str:
    return f"{file} is missing; restore it from a backup"


def _is_full(exc: Exception) -> bool:
    """Whether it was for want of space or memory: nothing is wrong with the file then."""
    return (
        isinstance(exc, duckdb.OutOfMemoryException)
        or getattr(exc, "errno", None) == errno.ENOSPC
        or "No space left" in str(exc)
    )
