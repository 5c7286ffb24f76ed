"""What remains of a log that was cut: a checkpoint, the entries after it, and the checkpoints that closes rest on.

A checkpoint lists the files of a version with their hashes, and all transaction versions, so it says what the entries
before it said. The versions between a pinned checkpoint and the cut cannot be opened any more
(docs/decisions/052-lake-format-3.md).
"""

import hashlib
import json
from typing import NamedTuple

from lake.delta import checkpoint, snapshot
from lake.delta.entries import entry_key, log_prefix
from lake.errors import Damaged
from lake.storage.store import Store

_CUT, _PINNED = "tollbook-cut.json", "tollbook-pinned-"


class Base(NamedTuple):
    """A checkpoint that stands for the entries before it, and the hash of its bytes."""

    version: int
    sha256: str


def cut_of(store: Store, table: str) -> Base | None:
    """Where the log of a table was cut; None: it is whole. Raises Damaged."""
    return _base(store, _cut_key(table))


def pinned_at(store: Store, table: str, version: int) -> Base | None:
    """The checkpoint of a version if a close rests on it. Raises Damaged."""
    return _base(store, _pinned_key(table, version))


def pinned(store: Store, table: str) -> set[int]:
    """The versions that closes rest on."""
    prefix = f"{log_prefix(table)}{_PINNED}"
    keys = (found.key for found in store.listing(log_prefix(table)) if found.key.startswith(prefix))
    return {int(key.removeprefix(prefix).removesuffix(".json")) for key in keys}


def pin(store: Store, table: str, version: int) -> None:
    """Keep the checkpoint of a version, which exists, for good. Durable. Raises OSError."""
    store.replace(_pinned_key(table, version), _encoded(_base_at(store, table, version)))


def is_changed(store: Store, table: str, base: Base) -> bool:
    """Whether the checkpoint of a base is missing, or is not what was written."""
    try:
        return _base_at(store, table, base.version) != base
    except FileNotFoundError:
        return True


def cut(store: Store, table: str, *, before: int) -> int:
    """Delete the entries before the last checkpoint up to a version; how many were deleted. Safe to kill and to repeat.

    Nobody may need an entry before that version. Pinned checkpoints stay. Raises Damaged and OSError.
    """
    log = log_prefix(table)
    logged, checkpoints = snapshot.versions(found.key for found in store.listing(log))
    at = max((version for version in checkpoints if version <= before), default=0)
    gone = sorted(version for version in logged if version < at)
    if not gone:
        return 0
    earlier = cut_of(store, table)
    if earlier is None or earlier.version < at:
        # Durable before any entry goes: whoever wrote the checkpoint may have died before it was.
        store.sync(checkpoint.key_of(table, at))
        store.sync(log)
        store.replace(_cut_key(table), _encoded(_base_at(store, table, at)))
    for version in sorted(checkpoints - pinned(store, table)):
        if version < at:
            store.delete(checkpoint.key_of(table, version))
    # In order: a writer that finds the entry of its snapshot in place knows that none after it was cut off.
    for version in gone:
        store.delete(entry_key(table, version))
    store.sync(log)
    return len(gone)


def _base_at(store: Store, table: str, version: int) -> Base:
    return Base(version, hashlib.sha256(store.read(checkpoint.key_of(table, version))).hexdigest())


def _base(store: Store, key: str) -> Base | None:
    try:
        return Base(**json.loads(store.read(key)))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as exc:
        raise Damaged(f"{store.named(key)} cannot be read ({exc}); restore it from a backup") from exc


def _encoded(base: Base) -> bytes:
    return json.dumps(base._asdict()).encode()


def _cut_key(table: str) -> str:
    return f"{log_prefix(table)}{_CUT}"


def _pinned_key(table: str, version: int) -> str:
    return f"{log_prefix(table)}{_PINNED}{version:020d}.json"
