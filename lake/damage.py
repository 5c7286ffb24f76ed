"""Data files that cannot be read: whatever DuckDB, pyarrow or the system says of one becomes `Damaged`, with the file's name and the remedy.

What a library raises over a damaged Parquet file depends on which byte is wrong, and may name no file: each file is looked at alone then.
What is raised though all files can be read is something else, and goes through as it is.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import duckdb
import pyarrow as pa

from lake import tables
from lake.hashing import sha256_of
from lake.tables import Damaged

# A damaged number within a file's description may end as a bare Error of DuckDB, or as the RuntimeError of its Python binding.
READING = (duckdb.Error, pa.ArrowException, OSError, RuntimeError)


@contextmanager
def named(files: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Around whatever reads Parquet files. `files` is asked for them when something is raised."""
    try:
        yield
    except READING as exc:
        there = list(files())
        if problem := next(filter(None, chain(map(_unreadable, there), map(_changed, there))), None):
            raise Damaged(problem) from exc
        raise


def _unreadable(file: str) -> str | None:
    """What is wrong with a file, read to its end."""
    if not Path(file).exists():
        return _missing(file)
    try:
        with duckdb.connect(config={"threads": 1}) as con:
            con.read_parquet([file]).to_arrow_table()
    except READING as exc:
        if _is_full(exc):
            return None
        said = (str(exc).splitlines() or [type(exc).__name__])[0]
        return f"{file} is damaged and cannot be read ({said}); restore it from a backup"
    return None


def _changed(file: str) -> str | None:
    """Whether it is not what was written: over a damaged file DuckDB may fail once and go through the next time."""
    table = next((folder for folder in Path(file).parents if (folder / "_delta_log").is_dir()), None)
    name = "" if table is None else str(Path(file).relative_to(table))
    for entry in [] if table is None else (table / "_delta_log").glob("*.json"):
        recorded = tables.said(tables.actions(entry), entry).get("sha256", {}).get(name)
        try:
            differs = recorded is not None and recorded != sha256_of(Path(file))
        except FileNotFoundError:  # of an erasable table: it was replaced meanwhile
            return _missing(file)
        if differs:
            return f"{file} was changed after it was written: its SHA-256 is not the one in the commit that added it; restore it from a backup"
    return None


def _missing(file: str) -> str:
    return f"{file} is missing; restore it from a backup"


def _is_full(exc: Exception) -> bool:
    """Whether it was for want of space or memory: nothing is wrong with the file then."""
    return (
        isinstance(exc, duckdb.OutOfMemoryException)
        or getattr(exc, "errno", None) == errno.ENOSPC
        or "No space left" in str(exc)
    )
