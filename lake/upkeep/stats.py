"""Figures of a lake, from its logs alone."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lake import tables
from lake.delta import cutting, entries, snapshot
from lake.delta.entries import log_prefix
from lake.derived_tables import APP, FOLLOWERS
from lake.storage.store import Store
from lake.upkeep import vacuum
from lake.upkeep.groups import SMALL_BYTES
from schemas.tables import ALL, EVENTS, TableShape


class TableStats(NamedTuple):
    """One table at its newest version."""

    table: str
    files: int
    bytes: int
    small_files: int  # below SMALL_BYTES
    replaced_files: int  # by compactions, and not yet deleted
    version: int
    log_entries: int
    cut_at: int | None  # where the log begins; None: at 0
    closed_versions: int  # which closes rest on
    behind: int  # commits of `events` that it has not taken in; 0 for tables that are not derived
    age_s: int | None  # of the newest commit; None: it has no time

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return self._asdict()


def stats(store: Store, *, now: datetime) -> Iterator[TableStats]:
    """The figures of each table that the lake has. Raises LakeError."""
    events = tables.open_table(store, EVENTS).version
    for shape in ALL.values():
        if snapshot.is_table(store, shape.name):
            yield _of(store, shape, events, now)


def _of(store: Store, shape: TableShape, events: int, now: datetime) -> TableStats:
    table = tables.open_table(store, shape)
    sizes = [file.size_bytes or 0 for file in tables.listed(store, shape, table).values()]
    logged, _ = snapshot.versions(found.key for found in store.listing(log_prefix(shape.name)))
    cut = cutting.cut_of(store, shape.name)
    derived = any(shape.name == follower.name for follower in FOLLOWERS)
    return TableStats(
        table=shape.name,
        files=len(sizes),
        bytes=sum(sizes),
        small_files=sum(size < SMALL_BYTES for size in sizes),
        replaced_files=sum(len(found.paths) for found in vacuum.replaced(store, shape)),
        version=table.version,
        log_entries=len(logged),
        cut_at=None if cut is None else cut.version,
        closed_versions=len(cutting.pinned(store, shape.name)),
        behind=events - table.apps.get(APP, 0) if derived else 0,
        age_s=_age_s(store, shape, table.version, now),
    )


def _age_s(store: Store, shape: TableShape, version: int, now: datetime) -> int | None:
    for found in entries.of_kind(entries.read(store, entries.entry_key(shape.name, version)), "commitInfo"):
        if isinstance(at := found.get("timestamp"), int):
            return max(0, round((now - datetime.fromtimestamp(at / 1000, UTC)).total_seconds()))
    return None
