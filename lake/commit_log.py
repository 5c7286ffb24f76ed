"""The history of a table by its log: the files that were added, with their hashes, and how far partitions have come.

It does not read the checkpoints that it can do without. So a damaged checkpoint, or a file that was changed, does not
agree with it (docs/decisions/022-hashes-of-files.md). A version that a close rests on, and the entries before a cut,
are known by a checkpoint alone, of which the hash is recorded (lake/delta/cutting.py).
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from lake import tables
from lake.delta import checkpoint, cutting, entries, snapshot
from lake.delta.cutting import Base
from lake.delta.entries import entry_key, log_prefix
from lake.delta.snapshot import Snapshot
from lake.errors import Damaged
from lake.storage.hashing import sha256_of
from lake.storage.store import Store
from lake.tables import File
from schemas.tables import PAYLOADS, TableShape

COMPACTED = "compacted"  # in the info of a commit whose files hold the rows of those that it removes


class History(NamedTuple):
    """A table up to one version, by its log alone."""

    version: int
    files: dict[str, File]  # by path
    apps: dict[str, int]  # transaction versions
    problems: list[str]  # what the product never does


def read(store: Store, shape: TableShape, version: int | None = None) -> History:
    """The history of a table that is never erased from, to a version (default: the newest).

    Raises LakeError for a damaged entry, and for a version that was cut off.
    """
    assert not shape.erasable
    last = tables.open_table(store, shape).version if version is None else version
    base = cutting.pinned_at(store, shape.name, last) or cutting.cut_of(store, shape.name)
    found = History(last, {}, {}, [])
    if base is not None and last:
        found = _at_base(store, shape, base)
    for number in range(0 if base is None else base.version + 1, last + 1):
        removed = _commit(store, shape, number, found)
        for path in removed:
            found.files.pop(path, None)
    return found._replace(version=last)


def _at_base(store: Store, shape: TableShape, base: Base) -> History:
    """What a checkpoint says, by itself."""
    problems = []
    if cutting.is_changed(store, shape.name, base):
        key = checkpoint.key_of(shape.name, base.version)
        problems.append(f"{store.named(key)} was changed after it was written; restore it from a backup")
    table = tables.open_table(store, shape, base.version)
    return History(base.version, tables.listed(store, shape, table), dict(table.apps), problems)


def problems_behind(store: Store, shape: TableShape, version: int) -> Iterator[str]:
    """What commits after a version do that the product never does. Raises LakeError for a damaged entry."""
    base = cutting.cut_of(store, shape.name)
    first = version + 1 if base is None else max(version, base.version) + 1
    found = History(version, {}, {}, [])
    for number in range(first, tables.open_table(store, shape).version + 1):
        _commit(store, shape, number, found)
    yield from found.problems


def _commit(store: Store, shape: TableShape, number: int, found: History) -> list[str]:
    """Add what one commit does to a history; the paths of the files that it removes."""
    key = entry_key(shape.name, number)
    actions, where = entries.read(store, key), store.named(key)
    stated = entries.statement(actions, where)
    hashes = stated.get("sha256", {})
    try:
        adds = list(entries.of_kind(actions, "add"))
        added = {a["path"]: File(a["path"], a["size"], hashes.get(a["path"], ""), number) for a in adds}
        moved = {a["appId"]: a["version"] for a in entries.of_kind(actions, "txn")}
        removes = [(snapshot.path_of(a), a["dataChange"]) for a in entries.of_kind(actions, "remove")]
    except (KeyError, TypeError) as exc:
        raise Damaged(f"{where} holds something that cannot be read ({exc}); restore it from a backup") from exc
    if moved != stated.get("versions", {}) or hashes.keys() - added:
        found.problems.append(f"{where} does not agree with itself; restore it from a backup")
    if any(loses for _, loses in removes) or (removes and COMPACTED not in stated.get("info", {})):
        found.problems.append(f"{where} takes files away, which Tollbook never does; restore the lake from a backup")
    found.files.update(added)
    found.apps.update(moved)
    return [path for path, _ in removes]


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
            f"is damaged; {_remedy(cutting.cut_of(store, shape.name))}"
        )


def _remedy(cut: Base | None) -> str:
    if cut is None:
        return "delete `_last_checkpoint` and all `*.checkpoint.parquet` there, the log is whole without them"
    return f"delete `_last_checkpoint` and every `*.checkpoint.parquet` after version {cut.version} there, the log is whole without them"


def changed(store: Store, shape: TableShape, found: History) -> Iterator[str]:
    """Files that are missing, or are not what was written, by size and by hash where one was recorded.

    Reads all of them.
    """
    return (problem for file in found.files.values() if (problem := _wrong(store, shape, file)))


def changed_texts(store: Store) -> Iterator[str]:
    """The same of the newest version of `texts`, of which an erasure may replace files meanwhile."""
    for path, file in sorted(tables.listed(store, PAYLOADS, tables.open_table(store, PAYLOADS)).items()):
        problem = _wrong(store, PAYLOADS, file)
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
