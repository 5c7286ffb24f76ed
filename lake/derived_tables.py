"""The tables that are derived from `events`, and the newest state in which all of them agree: the consistent cut.

A derived table takes in the commits of `events` one after another and holds, as its own transaction version, how far it
has come. While traffic lands, the tables are at different commits. A reader that needs all of them at once pins the cut
(docs/decisions/021-consistent-cut.md).
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from lake import tables
from lake.storage.store import Store
from schemas.tables import (
    DUPLICATES,
    EVENTS,
    INGESTED,
    LETTERS,
    PAYLOADS,
    READS,
    REDRIVEN,
    ROLLUPS,
    WITHDRAWN,
    TableShape,
)

APP = "follow/events"
FOLLOWERS = (READS, INGESTED, PAYLOADS, LETTERS, REDRIVEN, WITHDRAWN, DUPLICATES, ROLLUPS)
SUMMED = tuple(shape for shape in FOLLOWERS if not shape.erasable)  # no sum rests on texts, which may be erased


class Versioned(Protocol):
    """A table at one version."""

    def transaction_version(self, app: str, /) -> int | None:
        """How far `app` has come."""


def taken_in(table: Versioned) -> int:
    """The commit of `events` up to which a version of a derived table has taken in everything; 0: none."""
    return table.transaction_version(APP) or 0


def consistent_cut(store: Store) -> dict[str, int]:
    """The consistent cut: a version of `events` and of each derived table but `texts`, by name.

    The version of `events` is the newest that every derived table holds. That of a derived table is the newest that
    holds no later commit of `events`. Any version of other tables will do, as they depend on no commit of `events`. A
    table that the lake lacks, because it is older than the table, is not named. Reads a few commits of each table,
    whatever the lake holds. Raises LakeError.
    """
    pasts = {shape.name: _Past(store, shape) for shape in SUMMED if not tables.is_missing(store, shape)}
    # After the derived tables: none of them can be ahead of it, unless commits of `events` were lost.
    reached = tables.open_table(store, EVENTS).version
    while True:
        held = [past.back_to(reached) for past in pasts.values()]
        if min(held) == reached:
            return {EVENTS.name: reached, **{name: past.state.version for name, past in pasts.items()}}
        reached = min(held)


class _DerivedState(NamedTuple):
    taken_in: int  # commits of events
    version: int  # the newest of the derived table that holds exactly these


class _Past:
    """The states of one derived table, the newest first."""

    def __init__(self, store: Store, shape: TableShape) -> None:
        self._states = _states(store, shape)
        self.state = next(self._states)

    def back_to(self, events_version: int) -> int:
        """Go back until no later commit of `events` is held; which one is held then."""
        while self.state.taken_in > events_version:
            self.state = next(self._states)
        return self.state.taken_in


def _states(store: Store, shape: TableShape) -> Iterator[_DerivedState]:
    newest = tables.open_table(store, shape)
    last = newest.version
    yield _DerivedState(newest.apps.get(APP, 0), last)  # without the log, which may have been cut
    is_known = True
    for version in range(last, 0, -1):
        moved = tables.commit_versions(store, shape, version).get(APP)
        if moved is not None:
            if not is_known:
                yield _DerivedState(moved, last)
            last, is_known = version - 1, False
    if not is_known:
        yield _DerivedState(0, last)
