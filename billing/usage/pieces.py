"""Pieces of time: what lies between neighbouring bounds of spans. Each span consists of whole pieces.

Usage that is summed by piece therefore gives the usage of every span, and one pass over the rollups serves all of them.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from lake import duck
from schemas.tables import TIME
from schemas.windows import WINDOW_US, to_us

# All possible times of events (schemas.reasons: TIME_RANGE).
_FIRST_US, _END_US = to_us(datetime(1990, 1, 1, tzinfo=UTC)), to_us(datetime(2100, 1, 1, tzinfo=UTC))


def pieces(bounds: Iterable[datetime]) -> pa.Table:
    """Each window from the first bound to before the last one, and the start of its piece.

    `bounds` are multiples of a quarter of an hour. Columns window_start and piece_start, ordered.
    """
    cuts = np.unique(np.array([to_us(bound) for bound in set(bounds)], np.int64).clip(_FIRST_US, _END_US))
    windows = np.arange(cuts[0], cuts[-1], WINDOW_US) if cuts.size else cuts
    starts = cuts[np.searchsorted(cuts, windows, side="right") - 1] if windows.size else windows
    return pa.table({"window_start": _times(windows), "piece_start": _times(starts)})


def instants(times: Sequence[datetime]) -> pa.ChunkedArray:
    """The times as a column. Few of them are distinct, and only those are converted."""
    known = {time: to_us(time) for time in set(times)}
    return duck.column_of([known[time] for time in times], pa.int64()).cast(TIME)


def _times(values: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pa.Array:
    return pa.array(values, pa.int64()).cast(TIME)
