"""The history of a table by its log: the files that were added, with their hashes, and how far partitions have come.

Entries are deleted only from the logs of erasable tables. So a log holds everything that a checkpoint sums up, and a
damaged checkpoint, or a file that was changed, does not agree with it (docs/decisions/022-hashes-of-files.md).
"""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from lake import tables
from lake.delta import entries
from lake.delta.entries import entry_key, log_prefix
from lake.delta.snapshot import Snapshot
from lake.errors import Damaged
from lake.storage.hashing import sha256_of
from lake.storage.store import Store
from lake.tables import Part
from schemas.tables import PAYLOADS, TableShape


class File(NamedTuple):
    """One file of a version. `sha256` is "" for a file of a commit that was made before hashes were recorded."""

    path: str  # relative to the table
    size_bytes: int | None  # None: not known
    sha256: str


class History(NamedTuple):
    """A table up to one version, by its log alone.

    `texts`: of `events`, the files of table `texts` that its commits name, relative to that table, and their hashes.
    """

    version: int
    files: dict[str, File]  # by path
    apps: dict[str, int]  # transaction versions
    problems: list[str]  # what the product never does
    texts: dict[str, str]


def read(store: Store, shape: TableShape, version: int | None = None) -> History:
    """The history of a table that is never erased from, to a version (default: the newest).

    Raises LakeError for a damaged entry.
    """
    assert not shape.erasable
    last = tables.open_table(store, shape).version if version is None else version
    found = History(last, {}, {}, [], {})
    for number in range(last + 1):
        commit = _commit(store, shape, number)
        found.files.update(commit.files)
        found.apps.update(commit.apps)
        found.problems.extend(commit.problems)
        found.texts.update(commit.texts)
    return found


def problems_behind(store: Store, shape: TableShape, version: int) -> Iterator[str]:
    """What commits after a version do that the product never does. Raises LakeError for a damaged entry."""
    for number in range(version + 1, tables.open_table(store, shape).version + 1):
        yield from _commit(store, shape, number).problems


def _commit(store: Store, shape: TableShape, number: int) -> History:
    """What one commit does."""
    key = entry_key(shape.name, number)
    actions, where = entries.read(store, key), store.named(key)
    stated = entries.statement(actions, where)
    hashes = stated.get("sha256", {})
    try:
        adds = list(entries.of_kind(actions, "add"))
        added = {a["path"]: File(a["path"], a["size"], hashes.get(a["path"], "")) for a in adds}
        moved = {a["appId"]: a["version"] for a in entries.of_kind(actions, "txn")}
        named = [Part(*part) for part in stated.get("info", {}).get(PAYLOADS.name, [])]
    except (KeyError, TypeError) as exc:
        raise Damaged(f"{where} holds something that cannot be read ({exc}); restore it from a backup") from exc
    problems = []
    if moved != stated.get("versions", {}) or hashes.keys() - added:
        problems.append(f"{where} does not agree with itself; restore it from a backup")
    if any(entries.of_kind(actions, "remove")):
        problems.append(f"{where} takes files away, which Tollbook never does; restore the lake from a backup")
    return History(number, added, moved, problems, {part.path: part.sha256 for part in named if part.sha256})


def digest(found: History) -> str:
    """The digest of a version: over the sorted days and recorded hashes of its files."""
    # Without the names of the files, which are random: the same logs, landed again, are the same input.
    listed = sorted(f"{file.path.rpartition('/')[0]} {file.sha256}" for file in found.files.values())
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def opening(store: Store, shape: TableShape, found: History) -> Iterator[str]:
    """Where a version opens otherwise than its log says: its checkpoint is damaged.

    Raises LakeError if it cannot be opened.
    """
    if not _same(tables.open_table(store, shape, found.version), found):
        yield (
            f"table {shape.name} opens with other files or offsets than its log holds: a checkpoint in {store.named(log_prefix(shape.name))} "
            f"is damaged; delete `_last_checkpoint` and all `*.checkpoint.parquet` there, the log is whole without them"
        )


def changed(store: Store, shape: TableShape, found: History) -> Iterator[str]:
    """Files that are missing, or are not what was written, by size and by hash where one was recorded.

    Reads all of them.
    """
    return (problem for file in found.files.values() if (problem := _wrong(store, shape, file)))


def changed_texts(store: Store, events: History) -> Iterator[str]:
    """The same of `texts`, of which an erasure may replace files meanwhile.

    The files are those of the newest version, and the hashes those that are still recorded.
    """
    hashes = dict(events.texts)
    for listed in store.listing(log_prefix(PAYLOADS.name)):
        if entries.entry_version(listed.key) is not None:
            with contextlib.suppress(Damaged):  # it is gone, or the table cannot be opened, and that is reported
                actions = entries.read(store, listed.key)
                hashes.update(entries.statement(actions, listed.key).get("sha256", {}))
    for path in sorted(tables.open_table(store, PAYLOADS).files):
        problem = _wrong(store, PAYLOADS, File(path, None, hashes.get(path, "")))
        if problem and path in tables.open_table(store, PAYLOADS).files:
            yield problem


def _wrong(store: Store, shape: TableShape, file: File) -> str | None:
    key = f"{shape.name}/{file.path}"
    name = store.named(key)
    try:
        size, hashed = store.stat(key).size_bytes, sha256_of(store, key) if file.sha256 else ""
    except FileNotFoundError:
        return f"{name} is missing; restore it from a backup"
    except (OSError, ValueError) as exc:
        return f"{name} cannot be read ({exc}); repair the disk, or restore the file from a backup"
    if file.size_bytes is not None and size != file.size_bytes:
        return f"{name} was changed after it was written: it has {size} bytes, {file.size_bytes} were written; restore it from a backup"
    if hashed != file.sha256:
        return f"{name} was changed after it was written: its SHA-256 is not the one in the commit that added it; restore it from a backup"
    return None


def _same(table: Snapshot, found: History) -> bool:
    same_files = set(table.files) == set(map(unquote, found.files))
    return same_files and all(table.apps.get(app) == at for app, at in found.apps.items())
