"""Templates: lines that differ only in variable fields become events by copying the event of the first such line.

Lines of one template have equal keys (ingest/decode/json_scan.py). The format's statement stays the rule for every
line: it reads the first line of each template and every line that is unusual in any way. The other lines of the
template take its event, with their own id, time, sizes and latency. A template is used only if its first line gives
exactly one event, with the numbers that the scan read and an id that the scan found or that is derived. The statement
reads every refused line.
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
_PAUSE_BLOCKS = 8
_NUMBERS = (
    "occurred_at",
    "request_bytes",
    "response_bytes",
    "latency_us",
)  # in the order of kernels.json_layout.NUMBERS
_DERIVED, _NO_ID, _NO_EVENT = -1, -2, -1
_NOTHING = (FRESH_EVENTS.empty_table(), DEAD.schema.empty_table())


class LineBounds(NamedTuple):
    """Per line: the times it may have, [from, to), and a number for everything else that its result depends on.

    `eras`: the times at which the owner of a credential may change, sorted.
    """

    spans: npt.NDArray[np.int64]
    context: npt.NDArray[np.int64]
    eras: npt.NDArray[np.int64]


class LineOrigin(NamedTuple):
    """Where lines come from: columns with one value for the whole block."""

    source: str
    generation: str


class TemplateCache:
    """The templates of one format, source and catalog. Not thread-safe."""

    def __init__(self, layout: FieldLayout, entries_max: int = _ENTRIES_MAX) -> None:
        self._layout = layout
        self._entries_max = entries_max
        self._paused_blocks = 0  # blocks still to be read without templates, after one with few matches
        self._forget()

    def _forget(self) -> None:
        self._table = json_scan.empty_table(self._entries_max, _KEY_BYTES_MAX)
        self._events = FRESH_EVENTS.empty_table()
        self._event = np.full(self._entries_max + 1, _NO_EVENT, np.int32)  # by template: its row in _events
        self._id = np.full(self._entries_max + 1, _DERIVED, np.int8)  # by template: which id of a line is the event's
        self._head = np.zeros(self._entries_max + 1, np.int32)  # by template: which of _heads precedes the id
        self._heads = {"": 0}

    def is_ready(self) -> bool:
        """Whether the JSON scan is loaded. If it is not, begins to load it in the background."""
        if not (is_loaded := compiled.is_loaded()):
            json_scan.load_in_background(self._layout)
        return is_loaded

    def decode(
        self, framed: Lines, origin: LineOrigin, bounds: LineBounds, read: Callable[[Lines], tuple[pa.Table, pa.Table]]
    ) -> tuple[pa.Table, pa.Table]:
        """Events and refusals of `framed` in log order: the same as `read` gives for all lines, but `read` gets few."""
        if self._paused_blocks:
            self._paused_blocks -= 1
            return read(framed)
        if self._table.counts[NO_ROOM]:  # the table is full of templates that no longer occur
            self._forget()
        lines = _BlockArrays(framed)
        before = self._table.counts[ENTRIES]
        found = json_scan.scan(lines.text, lines.offsets, lines.usual, *bounds, self._layout, self._table)
        first = self._table.first[before : self._table.counts[ENTRIES]]
        # Lines without a template have index -1, the last element of _event, which is always _NO_EVENT.
        unknown = (self._event[found.entry] == _NO_EVENT) & (found.entry < before)
        unknown[first] = True
        decoded = [read(lines.part(unknown)) if unknown.any() else _NOTHING]
        self._remember(before + np.arange(len(first)), found, lines, origin, decoded[0])
        mismatched = ((self._event[found.entry] == _NO_EVENT) | self._are_ids_long(found)) & ~unknown
        if mismatched.any():
            decoded.append(read(lines.part(mismatched)))
        events, refused = (pa.concat_tables(tables) for tables in zip(*decoded, strict=True))
        copied = np.flatnonzero(~unknown & ~mismatched)
        self._paused_blocks = _PAUSE_BLOCKS if 2 * len(copied) < len(unknown) else 0
        in_order = refused.sort_by([("position", "ascending"), ("item", "ascending")])
        return self._joined(events, copied, found, lines, origin), in_order

    def _are_ids_long(self, found: ScanResult) -> npt.NDArray[np.bool_]:
        """Whether an id is too long together with its head."""
        if len(self._heads) == 1:
            return np.zeros(len(found.entry), bool)
        before = np.array([len(head) for head in self._heads])[self._head[found.entry]]
        length = np.take_along_axis(found.id_length, np.maximum(self._id[found.entry], 0)[:, np.newaxis], 1)[:, 0]
        return (before > 0) & (before + length > ID_BYTES_MAX)

    def _remember(
        self,
        entries: npt.NDArray[np.int64],
        found: ScanResult,
        lines: "_BlockArrays",
        origin: LineOrigin,
        decoded: tuple[pa.Table, pa.Table],
    ) -> None:
        """Keep the events of the first lines of new `entries` that can serve as templates."""
        events, refused = decoded
        if not len(entries) or not events.num_rows:
            return
        line = self._table.first[entries]
        position, at = lines.position[line], events["position"].to_numpy()
        row = np.minimum(np.searchsorted(at, position), len(at) - 1)
        alone = (events["item"].to_numpy() == 0) & np.append(at[1:] != at[:-1], True)
        kept = (at[row] == position) & alone[row] & ~np.isin(position, refused["position"].to_numpy())
        for number, name in enumerate(_NUMBERS):
            event_number = pc.fill_null(events[name].cast(pa.int64()), -1).to_numpy()[row]
            kept &= (self._table.plain[entries] >> number & 1 == 0) | (event_number == found.numbers[line, number])
        which, head = np.full(len(entries), _NO_ID, np.int8), np.zeros(len(entries), np.int32)
        for n in np.flatnonzero(kept):
            event_id = events["event_id"][row[n]].as_py()
            if event_id == f"@{origin.generation}:{position[n]}":
                which[n] = _DERIVED
            else:
                which[n], before = lines.which_id(event_id, found, line[n], is_behind=self._layout.is_behind)
                head[n] = self._heads.setdefault(before, len(self._heads))
        kept &= which != _NO_ID
        remembered = together(self._events, events.take(row[kept]))
        # Rows are added before indexes point at them: `take` does not check bounds, and a caller may continue after an
        # exception.
        before_these, self._events = self._events.num_rows, remembered
        self._event[entries[kept]] = before_these + np.arange(kept.sum())
        self._id[entries[kept]], self._head[entries[kept]] = which[kept], head[kept]

    def _joined(
        self,
        decoded: pa.Table,
        copied: npt.NDArray[np.int64],
        found: ScanResult,
        lines: "_BlockArrays",
        origin: LineOrigin,
    ) -> pa.Table:
        """All events in log order: `decoded`, in which the entries of a line are in order, and the lines `copied`."""
        entry, others = found.entry[copied], decoded.num_rows
        position = np.concatenate([lines.position[copied], decoded["position"].to_numpy()])
        order = np.argsort(position, kind="stable")
        row_of_line = np.concatenate([self._event[entry], self._events.num_rows + np.arange(others)])[order]
        rows_by_line = pc.take(together(self._events, decoded), pa.array(row_of_line), boundscheck=False)
        plain = np.concatenate([self._table.plain[entry], np.zeros(others, np.uint8)])[order]
        # `take` is nine times as fast as indexing by rows.
        numbers = found.numbers.take(np.concatenate([copied, np.zeros(others, np.int64)])[order], axis=0)
        own: dict[str, pa.Array | pa.ChunkedArray] = {"position": pa.array(position[order])}
        for number, name in enumerate(_NUMBERS):
            own[name] = _where(plain >> number & 1 == 1, numbers[:, number], rows_by_line[name])
        place, head = self._id[entry], self._head[entry]
        heads = [before.encode() for before in [*self._heads, f"@{origin.generation}:"]]
        ids = lines.ids(copied, place, heads, np.where(place == _DERIVED, len(heads) - 1, head), found)
        own["event_id"] = pc.take(
            pa.concat_arrays([ids, *decoded["event_id"].chunks]), pa.array(order), boundscheck=False
        )
        own |= {name: repeated(value, len(order)) for name, value in origin._asdict().items()}
        columns = [own.get(field.name, rows_by_line[field.name]) for field in FRESH_EVENTS]
        return without_unused(pa.table(columns, schema=FRESH_EVENTS))


class _BlockArrays:
    """Lines as arrays over the bytes of their block."""

    def __init__(self, framed: Lines) -> None:
        self._framed = framed
        chunks = framed.lines["line"].chunks
        column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
        _, offsets, text = column.buffers()
        self.offsets = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1].astype(np.int64)
        self.text = np.frombuffer(text, np.uint8)
        self.text.flags.writeable = False  # the kernel is compiled for read-only arrays
        self.position = framed.lines["position"].to_numpy()
        self.usual = ~np.isin(self.position, framed.unreadable["position"].to_numpy())

    def part(self, chosen: npt.NDArray[np.bool_]) -> Lines:
        return Lines(self._framed.lines.filter(pa.array(chosen)), self._framed.unreadable)

    def which_id(self, event_id: str, found: ScanResult, line: int, *, is_behind: bool) -> tuple[int, str]:
        """Which id of a line its event has, and the text before it there.

        The text is empty or, with `is_behind`, ends with a space. Without the space, a hash that ends like the id by
        chance would pass.
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
        """The event ids of the `chosen` lines: an id of the line or the derived one, after the head of each."""
        place = np.maximum(which, 0)
        length = np.where(which == _DERIVED, 0, found.id_length[chosen, place])
        return json_scan.event_ids(
            found.id_text, found.id_at[chosen, place], length, heads, head, self.position[chosen]
        )


def _where(chosen: npt.NDArray[np.bool_], numbers: npt.NDArray[np.int64], others: pa.ChunkedArray) -> pa.Array:
    """`numbers` where chosen, else `others`."""
    rest = others.cast(pa.int64())
    values = np.where(chosen, numbers, pc.fill_null(rest, 0).to_numpy())
    missing = ~chosen & rest.is_null().to_numpy() if rest.null_count else None
    return pa.array(values, mask=missing).cast(others.type)
