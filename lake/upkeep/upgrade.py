"""From lake format 2 to 3: lists the files of every close with their hashes, and those of the newest versions.

Nothing is rewritten but checkpoints, which programs of format 2 read as well. So a lake whose upgrade was killed is one
of format 2, until its last step writes the marker (docs/decisions/052-lake-format-3.md).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from lake import damage, tables
from lake.delta import checkpoint, cutting, entries, snapshot
from lake.delta.entries import log_prefix
from lake.delta.snapshot import Snapshot, Unreadable
from lake.errors import Damaged, LakeError
from lake.storage.store import Store
from schemas.tables import ALL, CLOSES, EVENTS, PAYLOADS, TableShape

_SHOWN = 5


class Upgraded(NamedTuple):
    """What an upgrade did. No closes and no tables: the lake had the newest format."""

    closes: int
    tables: int


def upgrade(store: Store, *, progress: Callable[[str], None] = lambda _: None) -> Upgraded:
    """Upgrade a lake. No worker may run. Safe to kill and to repeat. Raises LakeError."""
    if tables.format_of(store) == tables.FORMAT:
        return Upgraded(0, 0)
    if tables.format_of(store) != tables.EARLIER_FORMAT:
        tables.check(store)
    shapes = [shape for shape in ALL.values() if snapshot.is_table(store, shape.name)]
    documents = _closes(store)
    for shape in shapes:
        progress(shape.name)
        pinned = {versions[shape.name] for document in documents if shape.name in (versions := document["versions"])}
        _list_files(store, shape, pinned - {0})
    store.replace(tables.MARKER, tables.marker(tables.FORMAT))
    return Upgraded(len(documents), len(shapes))


def check_copy(store: Store, copy: Store) -> None:
    """Raise LakeError unless `copy` holds everything of the lake: logs by their bytes, other files by size."""
    there = {found.key: found.size_bytes for found in copy.listing()}
    wrong = [
        found.key for found in store.listing() if not _is_lock(found.key) and there.get(found.key) != found.size_bytes
    ]
    if not wrong:
        wrong = [key for key in there if f"/{entries.LOG}/" in key and copy.read(key) != store.read(key)]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise LakeError(
            f"{copy} is not a copy of {store}: {', '.join(wrong[:_SHOWN])}{more} are missing or differ. Stop all workers and copy the lake again"
        )


def _is_lock(key: str) -> bool:
    return key.rpartition("/")[2].endswith(".lock")


def _closes(store: Store) -> list[dict[str, Any]]:
    files = tables.files(store, CLOSES, _newest(store, CLOSES))
    documents = [text for file in files for text in damage.read(file, ["document"])["document"].to_pylist()]
    return [json.loads(text) for text in documents]


def _list_files(store: Store, shape: TableShape, pinned: set[int]) -> None:
    """Write checkpoints with hashes, of the versions that closes pin and of the newest. Delete those without hashes."""
    newest = _newest(store, shape)
    if pinned and max(pinned) > newest.version:
        raise Damaged(
            f"a close rests on version {max(pinned)} of table {shape.name}, which ends with {newest.version}; restore the lake from a backup"
        )
    for state in (
        [_known_texts(store, newest)] if shape == PAYLOADS else _wanted(store, shape, pinned | {newest.version})
    ):
        if state.version and not cutting.pinned_at(store, shape.name, state.version):
            tables.write_checkpoint(store, shape, state)
            if state.version in pinned:
                cutting.pin(store, shape.name, state.version)
    for found in list(store.listing(log_prefix(shape.name))):
        version = checkpoint.version_of(found.key)
        if version is not None and version not in pinned | {newest.version}:
            store.delete(found.key)
    store.sync(log_prefix(shape.name))


def _newest(store: Store, shape: TableShape) -> Snapshot:
    try:
        return snapshot.read(store, shape.name)
    except (Unreadable, OSError) as exc:
        raise _damaged(store, shape, exc) from exc


def _wanted(store: Store, shape: TableShape, versions: set[int]) -> Iterator[Snapshot]:
    try:
        for state in snapshot.replayed(store, shape.name, max(versions)):
            if state.version in versions:
                yield state
    except (Unreadable, OSError) as exc:
        raise _damaged(store, shape, exc) from exc


def _known_texts(store: Store, newest: Snapshot) -> Snapshot:
    """The newest version of table `texts`, of which the log was cut: the hashes are in the commits of `events`, too."""
    hashes: dict[str, str] = {}
    for table in (EVENTS, PAYLOADS):
        for found in store.listing(log_prefix(table.name)):
            if entries.entry_version(found.key) is not None:
                stated = entries.statement(entries.read(store, found.key), found.key)
                hashes |= stated.get("sha256", {}) if table == PAYLOADS else _named(stated)
    adds = tables.adds(store, PAYLOADS, newest)
    kept = {path: {**add, "tags": snapshot.tags(hashes.get(path, ""), newest.version)} for path, add in adds.items()}
    return replace(newest, files=dict(kept))


def _named(stated: dict[str, Any]) -> dict[str, str]:
    named = (tables.Part(*part) for part in stated.get("info", {}).get(PAYLOADS.name, []))
    return {part.path: part.sha256 for part in named}


def _damaged(store: Store, shape: TableShape, exc: Exception) -> Damaged:
    return Damaged(f"table {shape.name} in {store} cannot be read ({exc}); restore it from a backup")
