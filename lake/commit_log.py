"""What the log of a table says from its first commit on: the files that were added, with their hashes, and how far partitions have come.

The log's entries are never deleted but of erasable tables, so it tells all that a checkpoint sums up, and a checkpoint that was damaged, or
a file that was changed where it lies, does not agree with it (docs/decisions/022-hashes-of-files.md).
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from deltalake import DeltaTable

from lake import tables
from lake.hashing import sha256_of
from lake.tables import Damaged, Part
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


def read(root: Path, shape: TableShape, version: int | None = None) -> History:
    """The history of a table that is never erased from, to a version (default: the newest). Raises LakeError for an entry that is damaged."""
    assert not shape.erasable
    last = tables.open_table(root, shape).version() if version is None else version
    found = History(last, {}, {}, [], {})
    for number in range(last + 1):
        commit = _commit(root, shape, number)
        found.files.update(commit.files)
        found.apps.update(commit.apps)
        found.problems.extend(commit.problems)
        found.texts.update(commit.texts)
    return found


def problems_behind(root: Path, shape: TableShape, version: int) -> Iterator[str]:
    """What commits behind a version do that the product never does. Raises LakeError for an entry that is damaged."""
    for number in range(version + 1, tables.open_table(root, shape).version() + 1):
        yield from _commit(root, shape, number).problems


def _commit(root: Path, shape: TableShape, number: int) -> History:
    """What one commit does."""
    entry, where = tables.log_entry(root, shape, number), tables.entry_path(root, shape, number)
    told = tables.said(entry, where)
    hashes = told.get("sha256", {})
    try:
        added = {a["path"]: File(a["path"], a["size"], hashes.get(a["path"], "")) for a in _actions(entry, "add")}
        moved = {a["appId"]: a["version"] for a in _actions(entry, "txn")}
        named = [Part(*part) for part in told.get("info", {}).get(PAYLOADS.name, [])]
    except (KeyError, TypeError) as exc:
        raise Damaged(f"{where} holds what cannot be read ({exc}); restore it from a backup") from exc
    problems = []
    if moved != told.get("versions", {}) or hashes.keys() - added:
        problems.append(f"{where} does not agree with itself; restore it from a backup")
    if any(_actions(entry, "remove")):
        problems.append(f"{where} takes files away, which Tollbook never does; restore the lake from a backup")
    return History(number, added, moved, problems, {part.path: part.sha256 for part in named if part.sha256})


def files_sha256(root: Path, shape: TableShape, version: int) -> str:
    """The digest of a version: over the sorted days and recorded hashes of its files. Reads the log, not the files. Raises LakeError."""
    return digest(read(root, shape, version))


def digest(found: History) -> str:
    """As `files_sha256`, of a history that was read."""
    # Without the files' own names, which are drawn at random: the same logs, landed again, are the same input.
    listed = sorted(f"{file.path.rpartition('/')[0]} {file.sha256}" for file in found.files.values())
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def opening(root: Path, shape: TableShape, found: History) -> Iterator[str]:
    """What a version holds otherwise than its log says: its checkpoint is damaged. Raises LakeError if it cannot be opened."""
    table = tables.open_table(root, shape, found.version)
    if not _same(root, shape, table, found):
        yield (
            f"table {shape.name} opens with other files or offsets than its log holds: a checkpoint in {tables.entry_path(root, shape, 0).parent} "
            f"is damaged; delete `_last_checkpoint` and all `*.checkpoint.parquet` there, the log is whole without them"
        )


def changed(root: Path, shape: TableShape, found: History) -> Iterator[str]:
    """Files that are missing, or are not what was written, by size and by hash where one was recorded. Reads all of them."""
    return (problem for file in found.files.values() if (problem := _wrong(root / shape.name, file)))


def changed_texts(root: Path, events: History) -> Iterator[str]:
    """The same of `texts`, of which an erasure may replace files meanwhile: as they are now, by the hashes that are still recorded."""
    hashes = dict(events.texts)
    for entry in sorted((root / PAYLOADS.name / "_delta_log").glob("*.json")):
        with contextlib.suppress(Damaged):  # it is gone, or the table cannot be opened, and that is told
            hashes.update(tables.said(tables.log_entry(root, PAYLOADS, int(entry.stem)), entry).get("sha256", {}))
    folder = root.absolute() / PAYLOADS.name
    for path in tables.pinned_files(root, PAYLOADS):
        file = File(str(Path(path).relative_to(folder)), None, hashes.get(str(Path(path).relative_to(folder)), ""))
        problem = _wrong(folder, file)
        if problem and path in tables.pinned_files(root, PAYLOADS):
            yield problem


def _wrong(folder: Path, file: File) -> str | None:
    path = folder / file.path
    try:
        size, hashed = path.stat().st_size, sha256_of(path) if file.sha256 else ""
    except FileNotFoundError:
        return f"{path} is missing; restore it from a backup"
    except (OSError, ValueError) as exc:
        return f"{path} cannot be read ({exc}); repair the disk, or restore the file from a backup"
    if file.size_bytes is not None and size != file.size_bytes:
        return f"{path} was changed after it was written: it has {size} bytes, {file.size_bytes} were written; restore it from a backup"
    if hashed != file.sha256:
        return f"{path} was changed after it was written: its SHA-256 is not the one in the commit that added it; restore it from a backup"
    return None


def _same(root: Path, shape: TableShape, table: DeltaTable, found: History) -> bool:
    held = {str(Path(path).relative_to(root.absolute() / shape.name)) for path in tables.files(table)}
    return held == set(found.files) and all(table.transaction_version(app) == at for app, at in found.apps.items())


def _actions(entry: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (action[kind] for action in entry if kind in action)
