"""Files that are whole or absent, whenever the machine stops.

A file is written beside its place, synced, and then given its name.
"""

import os
import uuid
from pathlib import Path


def replace(path: Path, content: bytes, *, sync_name: bool = True) -> None:
    """Write a file, or replace the one that exists. A link is followed, and permissions are kept.

    `sync_name=False`: the caller syncs the folder, once for many files.
    """
    path = path.resolve()
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    beside = _beside(path)
    try:
        write_synced(beside, content, mode=0o666 if mode is None else 0o600)
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if sync_name:
        sync(path.parent)


def make(path: Path, content: bytes, *, mode: int = 0o666) -> bool:
    """Write a file that must not exist. Of several callers, one succeeds; False: the file exists."""
    beside = _beside(path)
    try:
        write_synced(beside, content, mode=mode)
        path.hardlink_to(beside)
    except FileExistsError:
        return False
    finally:
        beside.unlink(missing_ok=True)
    sync(path.parent)
    return True


def write_synced(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file and sync it, but not its name. Whoever reads the file before the end finds a part of it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Make a file durable, or the names in a folder. Raises OSError with the path."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")
