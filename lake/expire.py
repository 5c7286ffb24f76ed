"""Expire: deletes the files that commits to an erasable table have replaced, and the part of the log that names them.

No other table expires: closes rest on old versions.
"""

from collections.abc import Sequence
from pathlib import Path

from lake import atomic_file, tables
from schemas.tables import TableShape


def forget(root: Path, shape: TableShape, *, since: int | None = None) -> int:
    """Delete the files that commits have replaced, and the log by which versions with them could be opened; how many files.

    Safe to kill and to repeat, and beside writers: of the log stays what they may be at, which is everything from the version before
    `since`, the first that replaced files just now; None: nothing was replaced just now, and somebody else may have died at it.
    """
    assert shape.erasable
    log = root / shape.name / "_delta_log"
    entries = sorted(log.glob("*.json"))
    replaced = {int(e.stem): paths for e in entries if (paths := tables.replaced_files(root, shape, int(e.stem)))}
    if not replaced:
        return 0
    last = max(replaced)
    # Synced before any file goes: whoever committed may have died before it had synced that.
    if max(tables.checkpoints(log), default=0) < last:
        tables.checkpoint(tables.opened(root / shape.name, shape), log)
    gone = [path for paths in replaced.values() for path in paths if path.exists()]
    for path in gone:
        path.unlink(missing_ok=True)
    atomic_file.sync(root / shape.name)
    behind = (min(replaced) if since is None else since) - 1
    # Checkpoints first: without the log before it, no version before the last that replaced files can be opened then.
    for version, path in sorted(tables.checkpoints(log).items()):
        if version < last:
            path.unlink()
    # In order: whoever finds what follows its snapshot gone finds its snapshot gone, too.
    for path in entries:
        if int(path.stem) < behind:
            path.unlink()
    atomic_file.sync(log)
    return len(gone)


def orphans(root: Path, shape: TableShape, written_before_us: int) -> list[str]:
    """Files of a table's folder that are in no version, and were written before this time: a worker that died has left them."""
    assert shape.erasable
    live = {Path(file).name for file in tables.pinned_files(root, shape)}
    return [
        str(path)
        for path in (root / shape.name).glob("*.parquet")
        if path.name not in live and path.stat().st_mtime_ns // 1_000 < written_before_us
    ]


def delete(root: Path, shape: TableShape, files: Sequence[str]) -> None:
    """Delete files that are in no version, durably."""
    assert shape.erasable
    for file in files:
        Path(file).unlink()
    atomic_file.sync(root / shape.name)
