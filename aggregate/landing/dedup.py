"""Exact dedup: which events are new, which are duplicates, and which conflict with an earlier one.

The key of an event is (source, event_id). It is compared with all keys of the same event day and of the days before and
after, at any age: a day is loaded from the lake on first use, and the least recently used days are evicted. All state
is derived from the lake. Hashes only find candidates; equality of the strings decides.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from schemas.tables import EVENTS

COUNTED, DUPLICATE, CONFLICT = 0, 1, 2
IDENTITIES_MAX = 4_000_000
_CHUNK_SHIFT, _ROW_MASK = 32, 0xFFFF_FFFF

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


class Keys(NamedTuple):
    """The dedup keys of events, one row per event, in order."""

    identity: U64
    payload: U64
    day: I64
    names: pa.Table  # source, event_id


NONE = Keys(
    np.zeros(0, np.uint64),
    np.zeros(0, np.uint64),
    np.zeros(0, np.int64),
    EVENTS.schema.empty_table().select(["source", "event_id"]),
)


class _Run(NamedTuple):
    """Keys of one day, sorted by hash. `place` locates the strings: the chunk and the row in it."""

    identity: U64
    payload: U64
    place: I64


def keys(con: duckdb.DuckDBPyConnection, events: pa.Table) -> Keys:
    """The dedup keys of `events` (columns of schemas.tables.EVENTS)."""
    rows = engine.run(con, "keys", events=events)
    return Keys(
        rows["identity"].to_numpy(),
        rows["payload"].to_numpy(),
        rows["day"].to_numpy().astype(np.int64),
        events.select(["source", "event_id"]).combine_chunks(),
    )


class _Chunk(NamedTuple):
    """The strings of one batch or one loaded day, and the days that still refer to them."""

    names: pa.Table
    days: set[int]


class DedupIndex:
    """The dedup index of the days in use. `load_day` reads the keys of one event day (days since 1970) from the lake.

    Drop the object after a failed commit, as it then has keys that the lake does not have.
    """

    def __init__(self, load_day: Callable[[int], Keys], limit: int = IDENTITIES_MAX) -> None:
        self._load_day = load_day
        self._limit = limit
        self._days: OrderedDict[int, list[_Run]] = OrderedDict()
        self._chunks: dict[int, _Chunk] = {}
        self._next_chunk = 0

    @property
    def open_identities(self) -> int:
        """The number of keys in memory."""
        return sum(len(run.identity) for runs in self._days.values() for run in runs)

    def classify(self, new: Keys) -> npt.NDArray[np.int8]:
        """COUNTED, DUPLICATE or CONFLICT for each row. Counted rows are added to the index."""
        order = _by_hash(new.identity)
        first = _first_of_equal(new, order)
        days = _by_day(new.day, order)
        known, payload = self._find(new, days)
        # A row is compared with the event of its key in the lake, otherwise with the first row of its key in this
        # batch.
        reference = np.where(known, payload, new.payload)[first]
        reference = np.where(known, payload, reference)
        counted = ~known & ~known[first] & (first == np.arange(len(first)))
        verdicts = np.where(counted, COUNTED, np.where(new.payload == reference, DUPLICATE, CONFLICT)).astype(np.int8)
        self._add(new, [(day, rows[counted[rows]]) for day, rows in days])
        return verdicts

    def _find(self, new: Keys, days: Sequence[tuple[int, I64]]) -> tuple[npt.NDArray[np.bool_], U64]:
        """Which rows are known, and the payloads of the known events.

        Lookups are in the order of hashes, for cache locality.
        """
        known = np.zeros(len(new.day), bool)
        payload = np.zeros(len(new.day), np.uint64)
        for day, rows in days:
            for neighbour in (day, day - 1, day + 1):
                for run in self._runs(neighbour):
                    self._look_up(run, new, rows, known, payload)
        return known, payload

    def _look_up(self, run: _Run, new: Keys, rows: I64, known: npt.NDArray[np.bool_], payload: U64) -> None:
        """Mark the `rows` that are in `run`, with their payloads. Equal hashes of different strings are skipped."""
        wanted = new.identity[rows]
        at = np.searchsorted(run.identity, wanted)
        while len(rows):
            inside = at < len(run.identity)
            rows, at, wanted = rows[inside], at[inside], wanted[inside]
            same_hash = run.identity[at] == wanted
            rows, at, wanted = rows[same_hash], at[same_hash], wanted[same_hash]
            same = self._same_names(run.place[at], new.names, rows)
            known[rows[same]] = True
            payload[rows[same]] = run.payload[at[same]]
            rows, at, wanted = rows[~same], at[~same] + 1, wanted[~same]

    def _same_names(self, places: I64, names: pa.Table, rows: I64) -> npt.NDArray[np.bool_]:
        same = np.zeros(len(rows), bool)
        chunks = places >> _CHUNK_SHIFT
        for chunk in np.unique(chunks):
            here = np.flatnonzero(chunks == chunk)
            same[here] = _equal_names(self._chunks[int(chunk)].names, places[here] & _ROW_MASK, names, rows[here])
        return same

    def _add(self, new: Keys, days: Sequence[tuple[int, I64]]) -> None:
        """Add the rows of each of `days`, which are sorted by hash, and evict unused days."""
        chunk = self._chunk(new.names, [day for day, _ in days])
        for day, rows in days:
            if len(rows):
                runs = self._runs(day)
                runs.append(_Run(new.identity[rows], new.payload[rows], rows | chunk << _CHUNK_SHIFT))
                while len(runs) > 1 and len(runs[-2].identity) <= 2 * len(runs[-1].identity):
                    runs[-2:] = [_merged(runs[-2], runs[-1])]
        needed = {day + step for day, _ in days for step in (-1, 0, 1)}
        for day in [d for d in self._days if d not in needed]:
            if self.open_identities <= self._limit:
                break
            self._evict(day)

    def _runs(self, day: int) -> list[_Run]:
        if day not in self._days:
            stored = self._load_day(day)
            order = _by_hash(stored.identity)
            chunk = self._chunk(stored.names, [day])
            self._days[day] = [_Run(stored.identity[order], stored.payload[order], order | chunk << _CHUNK_SHIFT)]
        self._days.move_to_end(day)
        return self._days[day]

    def _chunk(self, names: pa.Table, days: Sequence[int]) -> int:
        """Store the strings of one batch once, until all its days are evicted."""
        self._next_chunk += 1
        self._chunks[self._next_chunk] = _Chunk(names, set(days))
        return self._next_chunk

    def _evict(self, day: int) -> None:
        del self._days[day]
        for number in [n for n, chunk in self._chunks.items() if day in chunk.days]:
            self._chunks[number].days.discard(day)
            if not self._chunks[number].days:
                del self._chunks[number]


def _by_hash(hashes: U64) -> I64:
    """The rows sorted by hash. Rows with equal hashes keep their order."""
    order = np.argsort(hashes).astype(np.int64)  # a stable sort would take twice as long, and few hashes are equal
    equal = hashes[order[1:]] == hashes[order[:-1]]
    if equal.any():
        among = np.append(equal, False) | np.append(False, equal)
        rows = order[among]
        order[among] = rows[np.lexsort((rows, hashes[rows]))]
    return order


def _by_day(days: I64, order: I64) -> list[tuple[int, I64]]:
    """The rows of each day, in the order of `order`."""
    if not len(order):
        return []
    since = days[order] - days.min()
    # NumPy sorts small integer types by radix sort.
    by_day = np.argsort(since.astype(np.min_scalar_type(int(since.max()))), kind="stable")
    starts = np.flatnonzero(np.diff(since[by_day], prepend=-1))
    rows = order[by_day]
    return [(int(days[rows[start]]), rows[start:end]) for start, end in itertools.pairwise([*starts, len(rows)])]


def _merged(a: _Run, b: _Run) -> _Run:
    identity = np.concatenate([a.identity, b.identity])
    order = np.argsort(identity, kind="stable")
    payload, place = np.concatenate([a.payload, b.payload]), np.concatenate([a.place, b.place])
    return _Run(identity[order], payload[order], place[order])


def _first_of_equal(new: Keys, order: I64) -> I64:
    """For each row, the first row with the same key, usually itself. `order` sorts the hashes and is stable."""
    hashes = new.identity[order]
    starts = np.concatenate([np.ones(min(1, len(hashes)), bool), hashes[1:] != hashes[:-1]])
    leader = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    first = np.empty_like(order)
    first[order] = leader
    later = order[~starts]
    if len(later):
        same = _equal_names(new.names, first[later], new.names, later)
        for row in later[~same]:  # two keys with the same hash, once in a few billion batches
            first[row] = _first_by_name(new, int(row))
    return first


def _first_by_name(new: Keys, row: int) -> int:
    group = np.flatnonzero(new.identity == new.identity[row])
    same = _equal_names(new.names, group, new.names, np.full(len(group), row))
    return int(group[same][0])


def _equal_names(left: pa.Table, left_rows: I64, right: pa.Table, right_rows: I64) -> npt.NDArray[np.bool_]:
    a, b = left.take(pa.array(left_rows)), right.take(pa.array(right_rows))
    same_source = pc.equal(a["source"].cast(pa.string()), b["source"].cast(pa.string()))
    equal = pc.and_(pc.equal(a["event_id"], b["event_id"]), same_source)
    return np.asarray(equal.to_numpy(), bool)
