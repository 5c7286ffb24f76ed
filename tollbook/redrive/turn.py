"""The state of a redrive: entries that were read again and are not committed yet, and the outcomes of the others."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing.dedup import COUNTED
from aggregate.landing.land import Counts
from aggregate.landing.redrive import OUTCOMES, Redrive, counts_of
from ingest.replay.lines import entry_keys

DECODE_LINES = 100_000  # decoded at a time


class Turn:
    """Collects entries that were read again, and commits those that are no longer refused in batches."""

    def __init__(
        self, worker: Redrive, commit_entries: int, counted: Callable[[pa.Table], None] = lambda _: None
    ) -> None:
        """`counted` receives the counted events in batches."""
        self._counted = counted
        self.problems: list[str] = []
        self.became: Counter[tuple[str, str]] = Counter()  # by old reason, and outcome, new reason or `left`
        self.counts = Counts()
        self._worker = worker
        self._commit_entries = commit_entries
        self._events: list[pa.Table] = []
        self._reasons: list[pa.Array] = []

    def take(self, letters: pa.Table, events: pa.Table, refused: pa.Table) -> None:
        """Take the entries that are among `letters`, which are sorted.

        Other entries of the same lines were counted before.
        """
        known, was = entry_keys(letters), letters["reason"].combine_chunks()
        for rows in (events, refused):
            chosen = rows.filter(pa.array(np.isin(entry_keys(rows), known)))
            reasons = was.take(pa.array(np.searchsorted(known, entry_keys(chosen))))
            if rows is refused:
                self.became.update(zip(reasons.to_pylist(), chosen["reason"].to_pylist(), strict=True))
            elif chosen.num_rows:
                self._events.append(chosen)
                self._reasons.append(reasons)
        if sum(len(reasons) for reasons in self._reasons) >= self._commit_entries:
            self.settle()

    def settle(self) -> None:
        """Commit the collected entries."""
        if not self._events:
            return
        reasons = pa.concat_arrays(self._reasons)
        events = pa.concat_tables(self._events)
        became = self._worker.settle(events, reasons)
        self._counted(events.filter(pc.equal(became, OUTCOMES[COUNTED])))
        self.became.update(zip(reasons.to_pylist(), became.to_pylist(), strict=True))
        self.counts = self.counts.plus(counts_of(became))
        self._events, self._reasons = [], []

    def leave(self, letters: pa.Table, why: str) -> None:
        """Report that dead letters are not redriven, and why."""
        if letters.num_rows:
            self.became.update((reason, "left") for reason in letters["reason"].to_pylist())
            self.problems.append(f"{letters.num_rows:,} refused entries were not redriven: {why}")

    def without(self, letters: pa.Table, positions: pa.Array, why: str) -> pa.Table:
        """Leave the dead letters at the given positions. Returns the others."""
        mine = at_positions(letters, positions)
        self.leave(mine, why)
        return (
            letters.filter(pc.invert(pc.is_in(letters["position"], value_set=positions))) if mine.num_rows else letters
        )


def at_positions(letters: pa.Table, positions: pa.Array) -> pa.Table:
    """The dead letters at the given positions."""
    return letters.filter(pc.is_in(letters["position"], value_set=positions))


def entries_by_position(*tables: pa.Table) -> Mapping[int, int]:
    """The number of entries at each position."""
    positions, counts = np.unique(np.concatenate([rows["position"].to_numpy() for rows in tables]), return_counts=True)
    return dict(zip(positions.tolist(), counts.tolist(), strict=True))
