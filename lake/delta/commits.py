"""The commit: the creation of the next entry of a log, which must not exist yet.

Of writers that commit at the same time, one creates the entry. The others read it and try the next number, unless it
has done something that their commit rests on.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lake.delta import entries, schema
from lake.delta.entries import INFO, Action
from lake.delta.snapshot import Snapshot
from lake.errors import Damaged, Fenced
from lake.storage.store import Store, exists

_ATTEMPTS = 100  # each is lost to a commit of somebody else


class Changes(NamedTuple):
    """What one commit does to a table.

    `rewritten_at_ms`: it is a compaction of this time, whose files hold the rows of those that it removes. None: it is
    not, and what it removes is erased.
    """

    adds: Sequence[Action]
    removes: Sequence[str]  # paths
    versions: Mapping[str, int]  # transaction versions
    statement: str  # JSON: what the product says of the commit
    partition_by: Sequence[str]
    rewritten_at_ms: int | None = None

    def actions(self) -> list[Action]:
        """The actions of the entry. The statement is first and the transaction versions are last."""
        parameters = {"mode": "Append", "partitionBy": _listed(self.partition_by)}
        return [
            _info("WRITE", parameters, {INFO: self.statement}),
            *({"add": {**add, "dataChange": self.has_news}} for add in self.adds),
            *({"remove": self._removal(path)} for path in self.removes),
            *({"txn": {"appId": app, "version": version}} for app, version in sorted(self.versions.items())),
        ]

    @property
    def has_news(self) -> bool:
        """Whether the rows of the table are others after it."""
        return self.rewritten_at_ms is None

    def _removal(self, path: str) -> Action:
        at = self.rewritten_at_ms or 0
        return {"path": path, "dataChange": self.has_news, "deletionTimestamp": at, "extendedFileMetadata": False}


def add_action(path: str, size_bytes: int, rows: int, partition: Mapping[str, str]) -> Action:
    """The action that adds a file. It has no minimum or maximum of a column: such values would outlive an erasure."""
    return {
        "path": path,
        "partitionValues": dict(partition),
        "size": size_bytes,
        "modificationTime": 0,
        "stats": f'{{"numRecords": {rows}}}',
        "tags": None,
        "baseRowId": None,
        "defaultRowCommitVersion": None,
        "clusteringProvider": None,
    }


def create_table(store: Store, table: str, columns: Any, partition_by: Sequence[str]) -> None:
    """Make an empty table, durably, if there is none."""
    actions = schema.creation(columns, list(partition_by), _now_ms())
    info = _info("CREATE TABLE", {"mode": "Ignore"}, {})
    store.create(entries.entry_key(table, 0), entries.encoded([info, *actions]))


def add_columns(store: Store, table: str, snapshot: Snapshot, added: Any, properties: dict[str, str]) -> bool:
    """Add columns and properties to a table, durably. False: somebody else has committed; open the table again."""
    info = _info("ADD COLUMN", {"fields": json.dumps(schema.fields(added))}, {})
    actions = [info, schema.widened(snapshot.metadata, added, properties)]
    return store.create(entries.entry_key(table, snapshot.version + 1), entries.encoded(actions))


def commit(store: Store, table: str, snapshot: Snapshot, changes: Changes) -> Snapshot:
    """Commit durably; the snapshot with the commit.

    Raises Fenced if another writer moved one of the transaction versions, erased rows, removed one of the same files or
    changed the columns since `snapshot`, or if the log was cut behind `snapshot`. Raises OSError if the entry cannot be
    written, Damaged if the entry of another writer cannot be read.
    """
    actions = changes.actions()
    content, now = entries.encoded(actions), snapshot
    for _ in range(_ATTEMPTS):
        _check_not_cut(store, table, now.version)
        key = entries.entry_key(table, now.version + 1)
        if store.create(key, content):
            _withdraw_if_cut(store, table, now.version, key)
            _sync_before(store, table, range(snapshot.version, now.version + 1))
            return now.after(actions, now.version + 1)
        others = _of_another(store, table, key)
        if conflict := _conflict(changes, others):
            raise Fenced(f"{store.named(key)}: {conflict}")
        now = now.after(others, now.version + 1)
    raise Fenced(f"{store.named(table)}: others committed {_ATTEMPTS} times meanwhile")


def _of_another(store: Store, table: str, key: str) -> list[Action]:
    """What a commit holds that was quicker."""
    try:
        return entries.read(store, key)
    except Damaged:
        if not exists(store, key):
            raise Fenced(f"{table} was cut off after {store.named(key)}") from None
        raise


def _conflict(changes: Changes, others: Sequence[Action]) -> str | None:
    """What a commit in between has done that the changes rest on."""
    moved = sorted(changes.versions.keys() & {found.get("appId") for found in entries.of_kind(others, "txn")})
    if moved:
        return f"another writer has moved {', '.join(moved)}"
    removes = list(entries.of_kind(others, "remove"))
    if any(found.get("dataChange") for found in removes) or {found["path"] for found in removes} & set(changes.removes):
        return "another writer has replaced files"
    if any(entries.of_kind(others, "metaData")) or any(entries.of_kind(others, "protocol")):
        return "another writer has changed the table's columns"
    return None


def _check_not_cut(store: Store, table: str, version: int) -> None:
    """Where the entry of a snapshot was cut off, the next one may have been cut off, too."""
    if not exists(store, entries.entry_key(table, version)):
        raise Fenced(f"{table} was cut off after version {version}")


def _withdraw_if_cut(store: Store, table: str, version: int, key: str) -> None:
    """Take back an entry that was created where one has just been cut off: no reader would find it.

    Entries are cut off in the order of their versions. So if the entry before this one is there, this one was never cut
    off, and it is the commit.
    """
    try:
        _check_not_cut(store, table, version)
    except Fenced:
        store.delete(key)
        store.sync(entries.log_prefix(table))
        raise


def _sync_before(store: Store, table: str, versions: range) -> None:
    """Sync the entries that a commit rests on: an earlier release syncs an entry only after others can see it."""
    for version in versions:
        try:
            store.sync(entries.entry_key(table, version))
        except FileNotFoundError:
            continue  # it was cut off meanwhile, and a durable checkpoint stands for it


def _info(operation: str, parameters: Mapping[str, str], more: Mapping[str, str]) -> Action:
    return {
        "commitInfo": {
            "timestamp": _now_ms(),
            "operation": operation,
            "operationParameters": dict(parameters),
            "engineInfo": "tollbook",
            **more,
        }
    }


def _now_ms() -> int:
    """For people who look at a log, and for other readers of Delta. No result of Tollbook depends on it."""
    return time.time_ns() // 1_000_000


def _listed(names: Sequence[str]) -> str:
    return json.dumps(list(names), separators=(",", ":"))
