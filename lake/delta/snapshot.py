"""The state of a table at one version: the newest checkpoint at or before it, and the entries after that.

Opening a table of 130 commits this way takes a fifth of the CPU time that the package `deltalake` takes
(docs/decisions/038-lake-object.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from lake.delta import checkpoint, entries
from lake.delta.entries import Action
from lake.storage.store import Store, exists

SHA256, COMMIT = "sha256", "commit"  # tags of a file


class NoTable(Exception):
    """There is no log."""


class Unreadable(Exception):
    """A version cannot be built from the log. The message says which file is at fault."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table at one version.

    `files` maps paths to their `add` actions, or to None if the checkpoint that it was read from holds the action. The
    tags of an action are the hash of the file and the commit that added it.
    """

    version: int
    files: dict[str, Action | None]
    apps: dict[str, int]  # transaction versions
    metadata: dict[str, Any]
    protocol: dict[str, Any]
    checkpoint: int | None = None  # the one that it was read from

    def after(self, actions: Iterable[Action], version: int) -> "Snapshot":
        """The next version, with the actions of its entry.

        A malformed action raises KeyError, TypeError, ValueError.
        """
        copy = replace(self, version=version, files=dict(self.files), apps=dict(self.apps))
        return _applied(copy, actions)

    @property
    def properties(self) -> dict[str, str]:
        """The table's properties."""
        return self.metadata.get("configuration") or {}


def is_table(store: Store, table: str) -> bool:
    """Whether a table has a log."""
    if exists(store, entries.entry_key(table, 0)):
        return True
    keys = (found.key for found in store.listing(entries.log_prefix(table)))
    return any(entries.entry_version(key) is not None or checkpoint.version_of(key) is not None for key in keys)


def replayed(store: Store, table: str, until: int) -> Iterator[Snapshot]:
    """The versions of a table from the first one to `until`, by its entries alone.

    They share their dicts. Raises Unreadable, OSError.
    """
    state = Snapshot(-1, {}, {}, {}, {})
    for version in range(until + 1):
        state = _with_entry(store, table, state, version)
        yield state


def read(store: Store, table: str, version: int | None = None) -> Snapshot:
    """One version of a table, by default the newest. Raises NoTable, Unreadable, OSError."""
    logged, checkpoints = _listed(store, table, version)
    if not logged and not checkpoints:
        raise NoTable(table)
    newest = max(logged | checkpoints)
    wanted = newest if version is None else version
    if not 0 <= wanted <= newest:
        raise Unreadable(f"there is no version {wanted}; the newest is {newest}")
    base = max((each for each in checkpoints if each <= wanted), default=None)
    state = Snapshot(-1, {}, {}, {}, {}) if base is None else _from_checkpoint(store, table, base)
    for each in range(state.version + 1, wanted + 1):
        if each not in logged:
            raise Unreadable(f"{store.named(entries.entry_key(table, each))} is missing")
        state = _with_entry(store, table, state, each)
    if not state.metadata or state.protocol.get("minReaderVersion") != 1:
        raise Unreadable(
            f"{store.named(entries.log_prefix(table))} has no metadata that this version of Tollbook reads"
        )
    return replace(state, version=wanted)


def _with_entry(store: Store, table: str, state: Snapshot, version: int) -> Snapshot:
    key = entries.entry_key(table, version)
    try:
        return _applied(replace(state, version=version), entries.decoded(store.read(key)))
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise Unreadable(f"{store.named(key)}: {type(exc).__name__}: {exc}") from exc


def _listed(store: Store, table: str, version: int | None) -> tuple[set[int], set[int]]:
    """The versions of entries and of checkpoints; without those before the last checkpoint, if it is early enough."""
    prefix = entries.log_prefix(table)
    hint = checkpoint.last(store, table)
    if hint is not None and (version is None or hint <= version):
        keys = [found.key for found in store.listing(prefix, after=f"{prefix}{hint:020d}")]
        if keys and keys[0] == checkpoint.key_of(table, hint):
            return versions(keys)
    return versions(found.key for found in store.listing(prefix))


def versions(keys: Iterable[str]) -> tuple[set[int], set[int]]:
    """The versions of the entries and of the checkpoints among the keys of a log."""
    logged, checkpoints = set[int](), set[int]()
    for key in keys:
        if (entry := entries.entry_version(key)) is not None:
            logged.add(entry)
        elif (summed := checkpoint.version_of(key)) is not None:
            checkpoints.add(summed)
    return logged, checkpoints


def _from_checkpoint(store: Store, table: str, version: int) -> Snapshot:
    key = checkpoint.key_of(table, version)
    try:
        found = checkpoint.read(store.read(key))
        return Snapshot(
            version,
            dict.fromkeys(map(unquote, found.paths)),
            {app: _integer(at) for app, at in found.apps},
            found.metadata,
            found.protocol,
            version,
        )
    except checkpoint.UNREADABLE as exc:
        raise Unreadable(f"{store.named(key)}: {(str(exc).splitlines() or [type(exc).__name__])[0]}") from exc


def _applied(state: Snapshot, actions: Iterable[Action]) -> Snapshot:
    """A state with the actions of the entry of its version. Its files and transaction versions are changed in place."""
    hashes: dict[str, str] = {}
    for action in actions:
        if found := action.get("add"):
            path = path_of(found)
            state.files[path] = {**found, "tags": tags(hashes.get(path, ""), state.version)}
        elif found := action.get("remove"):
            state.files.pop(path_of(found), None)
        elif found := action.get("commitInfo"):
            hashes = entries.stated(found).get("sha256", {})
        elif found := action.get("txn"):
            state.apps[found["appId"]] = _integer(found["version"])
        elif found := action.get("metaData"):
            state = replace(state, metadata=dict(found))
        elif found := action.get("protocol"):
            state = replace(state, protocol=dict(found))
    return state


def path_of(action: Action) -> str:
    """The path of a file relative to the table. Other writers encode it as a URI."""
    return unquote(action["path"])


def tags(sha256: str, commit: int) -> dict[str, str]:
    """What a checkpoint keeps of a file: its hash ("": none was recorded) and the commit that added it."""
    return {SHA256: sha256, COMMIT: str(commit)}


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a version")
    return value
