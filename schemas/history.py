"""What the log of a table says from its first commit on: the files that were added, with their hashes, and how far partitions have come.

The log's entries are never deleted but of erasable tables, so it tells all that a checkpoint sums up, and a checkpoint that was damaged, or
a file that was changed where it lies, does not agree with it (docs/decisions/019-hashes-of-files.md).
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deltalake import DeltaTable

from schemas import lake
from schemas.lake import Damaged
from schemas.tables import TableShape

_BLOCK_BYTES = 1 << 20


class File(NamedTuple):
    """One file of a version. `sha256` is "" for a file of a commit that was made before hashes were recorded."""

    path: str  # relative to the table
    size_bytes: int
    sha256: str


class History(NamedTuple):
    """A table up to one version, by its log alone."""

    version: int
    files: Mapping[str, File]  # by path
    apps: Mapping[str, int]  # transaction versions
    problems: tuple[str, ...]  # what the product never does


def read(root: Path, shape: TableShape, version: int | None = None) -> History:
    """The history of a table that is never erased from, to a version (default: the newest). Raises LakeError for an entry that is damaged."""
    assert not shape.erasable
    last = lake.open_table(root, shape).version() if version is None else version
    files: dict[str, File] = {}
    apps: dict[str, int] = {}
    problems: list[str] = []
    for number in range(last + 1):
        entry, where = lake.log_entry(root, shape, number), lake.entry_path(root, shape, number)
        said = lake.said(entry, where)
        hashes = said.get("sha256", {})
        try:
            added = {a["path"]: File(a["path"], a["size"], hashes.get(a["path"], "")) for a in _actions(entry, "add")}
            moved = {a["appId"]: a["version"] for a in _actions(entry, "txn")}
        except (KeyError, TypeError) as exc:
            raise Damaged(f"{where} holds an action that lacks {exc}; restore it from a backup") from exc
        if moved != said.get("versions", {}) or hashes.keys() - added:
            problems.append(f"{where} does not agree with itself; restore it from a backup")
        apps |= moved
        files |= added
        if any(_actions(entry, "remove")):
            problems.append(f"{where} takes files away, which Tollbook never does; restore the lake from a backup")
    return History(last, files, apps, tuple(problems))


def files_sha256(root: Path, shape: TableShape, version: int) -> str:
    """The digest of a version: over the sorted paths and recorded hashes of its files. Reads the log, not the files. Raises LakeError."""
    listed = sorted(f"{file.path} {file.sha256}" for file in read(root, shape, version).files.values())
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def opening(root: Path, shape: TableShape, found: History) -> Iterator[str]:
    """What a version holds otherwise than its log says: its checkpoint is damaged. Raises LakeError if it cannot be opened."""
    table = lake.open_table(root, shape, found.version)
    if not _same(root, shape, table, found):
        yield (
            f"table {shape.name} opens with other files or offsets than its log holds: a checkpoint in {lake.entry_path(root, shape, 0).parent} "
            f"is damaged; delete `_last_checkpoint` and all `*.checkpoint.parquet` there, the log is whole without them"
        )


def changed(root: Path, shape: TableShape, found: History) -> Iterator[str]:
    """Files that are missing, or are not what was written, by size and by hash where one was recorded. Reads all of them."""
    for file in found.files.values():
        path = root / shape.name / file.path
        try:
            size, digest = path.stat().st_size, sha256(path) if file.sha256 else ""
        except FileNotFoundError:
            yield f"{path} is missing; restore it from a backup"
            continue
        except OSError as exc:
            yield f"{path} cannot be read ({exc.strerror}); repair the disk, or restore the file from a backup"
            continue
        if (size, digest) != (file.size_bytes, file.sha256):
            yield f"{path} was changed after it was written ({_difference(file, size)}); restore it from a backup"


def sha256(path: Path) -> str:
    """The hash of a file, block by block."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _difference(file: File, size: int) -> str:
    if size != file.size_bytes:
        return f"{size} bytes, {file.size_bytes} were written"
    return "its SHA-256 is not the one in the commit that added it"


def _same(root: Path, shape: TableShape, table: DeltaTable, found: History) -> bool:
    held = {str(Path(path).relative_to(root.absolute() / shape.name)) for path in lake.files(table)}
    return held == set(found.files) and all(table.transaction_version(app) == at for app, at in found.apps.items())


def _actions(entry: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (action[kind] for action in entry if kind in action)
