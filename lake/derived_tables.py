"""The tables that follow `events`, and the newest state of the lake in which all of them tell the same: the consistent cut.

A follower takes in commits of `events` one after another and holds, as its own transaction version, how far it has come. While traffic
lands they stand at different commits. A reader that needs all of them at once pins the cut (docs/decisions/021-consistent-cut.md).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from lake import tables
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
SUMMED = tuple(shape for shape in FOLLOWERS if not shape.erasable)  # no sum rests on texts, which may be cut off


class Versioned(Protocol):
    """A table at one version."""

    def transaction_version(self, app: str, /) -> int | None:
        """How far `app` has come."""


def taken_in(table: Versioned) -> int:
    """The commit of `events` up to which a version of a follower has taken in everything; 0: none."""
    return table.transaction_version(APP) or 0


def consistent_cut(root: Path) -> dict[str, int]:
    """Table name → version: the newest version of `events` that every follower holds, and the newest of each that holds no more.

    Names `events` and its followers but `texts`; other tables depend on no commit of `events`, and any version of them will do. Reads
    a few commits of each table, whatever the lake holds. A table that the lake lacks, because it was made before there was such a table, is
    not named. Raises LakeError.
    """
    pasts = {shape.name: _Past(root, shape) for shape in SUMMED if not tables.is_missing(root, shape)}
    # After the followers: none of them can be ahead of it, unless commits of `events` were lost.
    reached = tables.open_table(root, EVENTS).version()
    while True:
        held = [past.back_to(reached) for past in pasts.values()]
        if min(held) == reached:
            return {EVENTS.name: reached, **{name: past.state.version for name, past in pasts.items()}}
        reached = min(held)


class _State(NamedTuple):
    taken_in: int  # commits of events
    version: int  # the newest of the follower that holds exactly these


class _Past:
    """The states of one follower, the newest first."""

    def __init__(self, root: Path, shape: TableShape) -> None:
        self._states = _states(root, shape)
        self.state = next(self._states)

    def back_to(self, events_version: int) -> int:
        """Go back until no later commit of `events` is held; which one is held then."""
        while self.state.taken_in > events_version:
            self.state = next(self._states)
        return self.state.taken_in


def _states(root: Path, shape: TableShape) -> Iterator[_State]:
    last = tables.open_table(root, shape).version()
    for version in range(last, 0, -1):
        moved = tables.commit_versions(root, shape, version).get(APP)
        if moved is not None:
            yield _State(moved, last)
            last = version - 1
    yield _State(0, last)
