"""Expire: deletes the files that commits to an erasable table have replaced, and the part of the log that names them.

No other table expires: closes rest on old versions.
"""

from collections.abc import Sequence

from lake import tables
from lake.delta import checkpoint, entries, snapshot
from lake.delta.entries import entry_key, log_prefix
from lake.storage.store import Store, exists
from schemas.tables import TableShape


def forget(store: Store, shape: TableShape, *, since: int | None = None) -> int:
    """Delete the files that commits have replaced, and the log that names them; the number of deleted files.

    Safe to kill and to repeat, and beside writers. The log keeps what they may be at, which is everything from the
    version before `since`, the first that replaced files just now. None: nothing was replaced just now, and this
    completes what another process may have left when it died.
    """
    assert shape.erasable
    log = log_prefix(shape.name)
    logged, checkpoints = _versions(store, log)
    replaced = {version: keys for version in logged if (keys := _replaced(store, shape, version))}
    if not replaced:
        return 0
    last = max(replaced)
    # Durable before any file goes: whoever committed may have died before the commit was.
    if max(checkpoints, default=0) < last:
        tables.write_checkpoint(store, shape, tables.open_table(store, shape))
    else:
        store.sync(checkpoint.key_of(shape.name, max(checkpoints)))
        store.sync(log)
    gone = [key for keys in replaced.values() for key in keys if exists(store, key)]
    for key in gone:
        store.delete(key)
    store.sync(f"{shape.name}/")
    behind = (min(replaced) if since is None else since) - 1
    # Checkpoints first: without the log before it, no version before the last that replaced files can be opened then.
    for version in _versions(store, log)[1]:
        if version < last:
            store.delete(checkpoint.key_of(shape.name, version))
    # In order: whoever finds that what follows its snapshot is gone finds that its snapshot is gone, too.
    for version in logged:
        if version < behind:
            store.delete(entry_key(shape.name, version))
    store.sync(log)
    return len(gone)


def orphans(store: Store, shape: TableShape, written_before_us: int) -> list[str]:
    """The addresses of files of a table that are in no version and older than this time: a dead worker left them.

    The log does not know these files, so nothing but their time distinguishes them from the files that a live worker is
    about to commit. A store without times has no orphans.
    """
    assert shape.erasable
    live = tables.open_table(store, shape).files
    prefix = f"{shape.name}/"
    return [
        store.address(found.key)
        for found in store.listing(prefix)
        if (path := found.key.removeprefix(prefix)).endswith(".parquet")
        and "/" not in path
        and path not in live
        and found.modified_us is not None
        and found.modified_us < written_before_us
    ]


def delete(store: Store, shape: TableShape, files: Sequence[str]) -> None:
    """Delete files that are in no version, durably."""
    assert shape.erasable
    for file in files:
        store.delete(f"{shape.name}/{tables.relative(store, shape, file)}")
    store.sync(f"{shape.name}/")


def _versions(store: Store, log: str) -> tuple[list[int], list[int]]:
    """The versions of the entries and of the checkpoints of a log, in order."""
    logged, checkpoints = snapshot.versions(found.key for found in store.listing(log))
    return sorted(logged), sorted(checkpoints)


def _replaced(store: Store, shape: TableShape, version: int) -> list[str]:
    """The keys of the files that one commit has put others in the place of."""
    removes = entries.of_kind(entries.read(store, entry_key(shape.name, version)), "remove")
    return [f"{shape.name}/{snapshot.path_of(remove)}" for remove in removes]
