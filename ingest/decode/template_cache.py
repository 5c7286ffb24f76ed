"""Lines that differ in nothing but id, time, sizes and latency become the same event but for these: it is worked out once.

The format's statement is the rule for every line. It is asked about the first line of a kind, and about every line that is unusual
in any way (ingest/decode/json_scan.py); the twins of that first line get from its event all that they share with it. That is done only where
the event is the line's only one, holds its numbers, and its id or a derived one. Lines that are refused are each read by the statement.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import json_scan
from ingest.decode.framing import Lines
from kernels import compiled
from kernels.dictionaries import repeated, together, without_unused
from kernels.json_layout import ENTRIES, ID_BYTES_MAX, IDS_MAX, NO_ROOM, FieldLayout, ScanResult
from schemas.tables import DEAD, FRESH_EVENTS

_ENTRIES_MAX = 1 << 16
_KEY_BYTES_MAX = 1 << 24
_RESTING_BLOCKS = 8
_NUMBERS = ("occurred_at", "request_bytes", "response_bytes", "latency_us")  # in the order of scan.NUMBERS
_DERIVED, _NO_ID, _NO_EVENT = -1, -2, -1
_NOTHING = (FRESH_EVENTS.empty_table(), DEAD.schema.empty_table())


class LineBounds(NamedTuple):
    """Of each line the times it may lie in, [from, to), and what else its result depends on.

    `eras`: the times at which the owner of a credential may change, sorted.
    """

    spans: npt.NDArray[np.int64]
    context: npt.NDArray[np.int64]
    eras: npt.NDArray[np.int64]


class LineOrigin(NamedTuple):
    """Where lines are from: columns that hold one value."""

    source: str
    generation: str


class TemplateCache:
    """What is known of one format, source and catalog. Not for use by several threads."""

    def __init__(self, shape: FieldLayout, entries_max: int = _ENTRIES_MAX) -> None:
        self._shape = shape
        self._entries_max = entries_max
        self._resting = 0  # blocks in which none are looked for, since there were few in one
        self._forget()

    def _forget(self) -> None:
        self._known = json_scan.empty_table(self._entries_max, _KEY_BYTES_MAX)
        self._events = FRESH_EVENTS.empty_table()
        self._event = np.full(self._entries_max + 1, _NO_EVENT, np.int32)  # by entry: its row of _events
        self._id = np.full(self._entries_max + 1, _DERIVED, np.int8)  # by entry: which of a line's ids is the event's
        self._head = np.zeros(self._entries_max + 1, np.int32)  # by entry: which of _heads stands before it
        self._heads = {"": 0}

    def are_at_hand(self) -> bool:
        """Whether what finds them is loaded; if not, that begins."""
        if not (is_loaded := compiled.is_loaded()):
            json_scan.load_in_background(self._shape)
        return is_loaded

    def decode(
        self, framed: Lines, origin: LineOrigin, bounds: LineBounds, read: Callable[[Lines], tuple[pa.Table, pa.Table]]
    ) -> tuple[pa.Table, pa.Table]:
        """Events and refusals of `framed` in log order: what `read` would make of all lines, though it is given few of them."""
        if self._resting:
            self._resting -= 1
            return read(framed)
        if self._known.counts[NO_ROOM]:  # other kinds come now than those it is full of
            self._forget()
        lines = _BlockArrays(framed)
        before = self._known.counts[ENTRIES]
        found = json_scan.scan(lines.text, lines.offsets, lines.usual, *bounds, self._shape, self._known)
        first = self._known.first[before : self._known.counts[ENTRIES]]
        # The last place of _event is that of lines without an entry, and holds none.
        asked = (self._event[found.entry] == _NO_EVENT) & (found.entry < before)
        asked[first] = True
        told = [read(lines.part(asked)) if asked.any() else _NOTHING]
        self._learn(before + np.arange(len(first)), found, lines, origin, told[0])
        late = ((self._event[found.entry] == _NO_EVENT) | self._are_ids_long(found)) & ~asked
        if late.any():
            told.append(read(lines.part(late)))
        events, refused = (pa.concat_tables(tables) for tables in zip(*told, strict=True))
        copied = np.flatnonzero(~asked & ~late)
        self._resting = _RESTING_BLOCKS if 2 * len(copied) < len(asked) else 0
        in_order = refused.sort_by([("position", "ascending"), ("item", "ascending")])
        return self._joined(events, copied, found, lines, origin), in_order

    def _are_ids_long(self, found: ScanResult) -> npt.NDArray[np.bool_]:
        """Whether they are too long with what stands before them."""
        if len(self._heads) == 1:
            return np.zeros(len(found.entry), bool)
        before = np.array([len(head) for head in self._heads])[self._head[found.entry]]
        length = np.take_along_axis(found.id_length, np.maximum(self._id[found.entry], 0)[:, np.newaxis], 1)[:, 0]
        return (before > 0) & (before + length > ID_BYTES_MAX)

    def _learn(
        self,
        entries: npt.NDArray[np.int64],
        found: ScanResult,
        lines: "_BlockArrays",
        origin: LineOrigin,
        told: tuple[pa.Table, pa.Table],
    ) -> None:
        """Keep the events of the first lines of new `entries`, as far as those of their twins can be told from them."""
        events, refused = told
        if not len(entries) or not events.num_rows:
            return
        line = self._known.first[entries]
        position, at = lines.position[line], events["position"].to_numpy()
        row = np.minimum(np.searchsorted(at, position), len(at) - 1)
        alone = (events["item"].to_numpy() == 0) & np.append(at[1:] != at[:-1], True)
        kept = (at[row] == position) & alone[row] & ~np.isin(position, refused["position"].to_numpy())
        for number, name in enumerate(_NUMBERS):
            held = pc.fill_null(events[name].cast(pa.int64()), -1).to_numpy()[row]
            kept &= (self._known.plain[entries] >> number & 1 == 0) | (held == found.numbers[line, number])
        which, head = np.full(len(entries), _NO_ID, np.int8), np.zeros(len(entries), np.int32)
        for n in np.flatnonzero(kept):
            event_id = events["event_id"][row[n]].as_py()
            if event_id == f"@{origin.generation}:{position[n]}":
                which[n] = _DERIVED
            else:
                which[n], before = lines.which_id(event_id, found, line[n], is_behind=self._shape.is_behind)
                head[n] = self._heads.setdefault(before, len(self._heads))
        kept &= which != _NO_ID
        learnt = together(self._events, events.take(row[kept]))
        # Rows exist before anything points at them: rows are taken unchecked, and a caller may go on after an exception.
        before_these, self._events = self._events.num_rows, learnt
        self._event[entries[kept]] = before_these + np.arange(kept.sum())
        self._id[entries[kept]], self._head[entries[kept]] = which[kept], head[kept]

    def _joined(
        self,
        told: pa.Table,
        copied: npt.NDArray[np.int64],
        found: ScanResult,
        lines: "_BlockArrays",
        origin: LineOrigin,
    ) -> pa.Table:
        """`told`, of which the entries of a line stand in order, and the events of the lines `copied`: all in log order."""
        entry, others = found.entry[copied], told.num_rows
        position = np.concatenate([lines.position[copied], told["position"].to_numpy()])
        order = np.argsort(position, kind="stable")
        model = np.concatenate([self._event[entry], self._events.num_rows + np.arange(others)])[order]
        models = pc.take(together(self._events, told), pa.array(model), boundscheck=False)
        plain = np.concatenate([self._known.plain[entry], np.zeros(others, np.uint8)])[order]
        # By `take`: an index of rows takes nine times as long.
        numbers = found.numbers.take(np.concatenate([copied, np.zeros(others, np.int64)])[order], axis=0)
        own: dict[str, pa.Array | pa.ChunkedArray] = {"position": pa.array(position[order])}
        for number, name in enumerate(_NUMBERS):
            own[name] = _where(plain >> number & 1 == 1, numbers[:, number], models[name])
        place, head = self._id[entry], self._head[entry]
        heads = [before.encode() for before in [*self._heads, f"@{origin.generation}:"]]
        ids = lines.ids(copied, place, heads, np.where(place == _DERIVED, len(heads) - 1, head), found)
        own["event_id"] = pc.take(pa.concat_arrays([ids, *told["event_id"].chunks]), pa.array(order), boundscheck=False)
        own |= {name: repeated(value, len(order)) for name, value in origin._asdict().items()}
        columns = [own.get(field.name, models[field.name]) for field in FRESH_EVENTS]
        return without_unused(pa.table(columns, schema=FRESH_EVENTS))


class _BlockArrays:
    """Lines and the bytes they lie in."""

    def __init__(self, framed: Lines) -> None:
        self._framed = framed
        chunks = framed.lines["line"].chunks
        column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
        _, offsets, text = column.buffers()
        self.offsets = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1].astype(np.int64)
        self.text = np.frombuffer(text, np.uint8)
        self.text.flags.writeable = False  # the one kind of array that the loop is compiled for
        self.position = framed.lines["position"].to_numpy()
        self.usual = ~np.isin(self.position, framed.unreadable["position"].to_numpy())

    def part(self, chosen: npt.NDArray[np.bool_]) -> Lines:
        return Lines(self._framed.lines.filter(pa.array(chosen)), self._framed.unreadable)

    def which_id(self, event_id: str, found: ScanResult, line: int, *, is_behind: bool) -> tuple[int, str]:
        """Which of the ids in a line its event has, and what stands before it there: nothing, or a text and a space if it may be behind one.

        Without the space a hash of both would pass that happens to end as the id does.
        """
        for place in range(IDS_MAX):
            at, length = found.id_at[line, place], found.id_length[line, place]
            own = found.id_text[at : at + length].tobytes().decode()
            if own and (event_id == own or (is_behind and event_id.endswith(f" {own}"))):
                return place, event_id.removesuffix(own)
        return _NO_ID, ""

    def ids(
        self,
        chosen: npt.NDArray[np.int64],
        which: npt.NDArray[np.int8],
        heads: Sequence[bytes],
        head: npt.NDArray[np.int32],
        found: ScanResult,
    ) -> pa.StringArray:
        """The ids of the `chosen` lines: `which` of those that stand in each, or the derived one, behind the head of each."""
        place = np.maximum(which, 0)
        length = np.where(which == _DERIVED, 0, found.id_length[chosen, place])
        return json_scan.event_ids(
            found.id_text, found.id_at[chosen, place], length, heads, head, self.position[chosen]
        )


def _where(chosen: npt.NDArray[np.bool_], numbers: npt.NDArray[np.int64], others: pa.ChunkedArray) -> pa.Array:
    """The chosen numbers, and of the rest `others`."""
    rest = others.cast(pa.int64())
    values = np.where(chosen, numbers, pc.fill_null(rest, 0).to_numpy())
    unknown = ~chosen & rest.is_null().to_numpy() if rest.null_count else None
    return pa.array(values, mask=unknown).cast(others.type)
