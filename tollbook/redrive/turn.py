"""One redrive at work: what was read again and is not committed yet, and what has become of the rest."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing.dedup import COUNTED
from aggregate.landing.land import Counts
from aggregate.landing.redrive import OUTCOMES, Redrive, counts_of
from ingest.replay.lines import entry_keys

DECODE_LINES = 100_000  # that are read again at a time


class Turn:
    """Takes entries that were read again, and commits what of them is refused no more, many at a time."""

    def __init__(
        self, worker: Redrive, commit_entries: int, counted: Callable[[pa.Table], None] = lambda _: None
    ) -> None:
        """`counted` is given the events that are counted, in batches."""
        self._counted = counted
        self.problems: list[str] = []
        self.became: Counter[tuple[str, str]] = Counter()  # reason, and what is now: an outcome, a reason, or `left`
        self.counts = Counts()
        self._worker = worker
        self._commit_entries = commit_entries
        self._events: list[pa.Table] = []
        self._reasons: list[pa.Array] = []

    def take(self, letters: pa.Table, events: pa.Table, refused: pa.Table) -> None:
        """Sort entries: those that are among `letters`, which are in order, are judged; others were counted long ago."""
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
        """Commit what was read."""
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
        """Say that letters stay as they are, and why."""
        if letters.num_rows:
            self.became.update((reason, "left") for reason in letters["reason"].to_pylist())
            self.problems.append(f"{letters.num_rows:,} refused entries were left: {why}")

    def without(self, letters: pa.Table, positions: pa.Array, why: str) -> pa.Table:
        """Leave the letters at some positions; the others."""
        mine = at_positions(letters, positions)
        self.leave(mine, why)
        return (
            letters.filter(pc.invert(pc.is_in(letters["position"], value_set=positions))) if mine.num_rows else letters
        )


def at_positions(letters: pa.Table, positions: pa.Array) -> pa.Table:
    """The letters at some positions."""
    return letters.filter(pc.is_in(letters["position"], value_set=positions))


def entries_by_position(*tables: pa.Table) -> Mapping[int, int]:
    """How many entries there are at each position."""
    positions, counts = np.unique(np.concatenate([rows["position"].to_numpy() for rows in tables]), return_counts=True)
    return dict(zip(positions.tolist(), counts.tolist(), strict=True))
