"""Templates: lines that differ only in variable fields become events by copying the event of the first such line.

Lines of one template have equal keys (ingest/decode/json_scan.py), and times between the same two changes of a
credential. The format's statement stays the rule for every line: it reads the first line of each template and every
line that is unusual in any way. The other lines of the template take its event, with their own id, time, sizes and
latency, which the macros of the statement type from the bytes of the line. A template is used only if its first line
gives exactly one event, with the numbers that were typed from its slices and an id that is a slice or is derived. The
statement reads every refused line.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import json_scan
from ingest.decode.field_layout import Layout
from ingest.decode.framing import Lines
from kernels import compiled
from kernels.dictionaries import repeated, together, without_unused
from kernels.json_layout import ENTRIES, ID_BYTES_MAX, IDS_MAX, NO_ROOM, Block, Slices
from schemas.tables import DEAD, FRESH_EVENTS

_ENTRIES_MAX = 1 << 16
_KEY_BYTES_MAX = 1 << 24
_TEMPLATE_KEY_BYTES = 16
_PAUSE_BLOCKS = 8
# The numbers of an event, in the order of their slices after the ids, and the names of the slices.
_NUMBERS = ("occurred_at", "request_bytes", "response_bytes", "latency_us")
_TEXTS = ("time", "request_bytes", "response_bytes", "latency")
_NOT_A_NUMBER, _ABSENT = -2, -1
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


class _Found(NamedTuple):
    """What is known of each line of a block: its template, or -1; which numbers its slices give; its ids."""

    template: npt.NDArray[np.int32]
    is_given: npt.NDArray[np.bool_]  # by number and line
    numbers: npt.NDArray[np.int64]  # by number and line; _ABSENT where the line has none in spite of a slice
    id_text: npt.NDArray[np.uint8]
    id_at: npt.NDArray[np.int64]  # by id and line
    id_length: npt.NDArray[np.int64]


class TemplateCache:
    """The templates of one format, source and catalog. Not thread-safe."""

    def __init__(self, layout: Layout, typed: Callable[[pa.Table], pa.Table], entries_max: int = _ENTRIES_MAX) -> None:
        """`typed`: runs the layout's statement that types slices."""
        self._layout = layout
        self._typed = typed
        self._entries_max = entries_max
        self._paused_blocks = 0  # blocks still to be read without templates, after one with few matches
        self._forget()

    def _forget(self) -> None:
        self._keys = json_scan.empty_table(self._entries_max, _KEY_BYTES_MAX)
        self._templates = json_scan.empty_table(self._entries_max, self._entries_max * _TEMPLATE_KEY_BYTES)
        self._events = FRESH_EVENTS.empty_table()
        self._event = np.full(self._entries_max + 1, _NO_EVENT, np.int32)  # by template: its row in _events
        self._id = np.full(self._entries_max + 1, _DERIVED, np.int8)  # by template: which id of a line is the event's
        self._head = np.zeros(self._entries_max + 1, np.int32)  # by template: which of _heads precedes the id
        self._heads = {"": 0}

    def is_ready(self) -> bool:
        """Whether the JSON scan is loaded. If it is not, begins to load it in the background."""
        if not (is_loaded := compiled.is_loaded()):
            json_scan.load_in_background(self._layout.members)
        return is_loaded

    def decode(
        self, framed: Lines, origin: LineOrigin, bounds: LineBounds, read: Callable[[Lines], tuple[pa.Table, pa.Table]]
    ) -> tuple[pa.Table, pa.Table]:
        """Events and refusals of `framed` in log order: the same as `read` gives for all lines, but `read` gets few."""
        if self._paused_blocks:
            self._paused_blocks -= 1
            return read(framed)
        if self._keys.counts[NO_ROOM] or self._templates.counts[NO_ROOM]:  # full of templates that no longer occur
            self._forget()
        lines = _BlockArrays(framed)
        before = self._templates.counts[ENTRIES]
        found = self._found(lines.block, bounds)
        first = self._templates.first[before : self._templates.counts[ENTRIES]]
        # Lines without a template have index -1, the last element of _event, which is always _NO_EVENT.
        unknown = (self._event[found.template] == _NO_EVENT) & (found.template < before)
        unknown[first] = True
        decoded = [read(lines.part(unknown)) if unknown.any() else _NOTHING]
        self._remember(before + np.arange(len(first)), found, lines, origin, decoded[0])
        mismatched = ((self._event[found.template] == _NO_EVENT) | self._are_ids_long(found)) & ~unknown
        if mismatched.any():
            decoded.append(read(lines.part(mismatched)))
        events, refused = (pa.concat_tables(tables) for tables in zip(*decoded, strict=True))
        copied = np.flatnonzero(~unknown & ~mismatched)
        self._paused_blocks = _PAUSE_BLOCKS if 2 * len(copied) < len(unknown) else 0
        in_order = refused.sort_by([("position", "ascending"), ("item", "ascending")])
        return self._joined(events, copied, found, lines, origin), in_order

    def _found(self, block: Block, bounds: LineBounds) -> _Found:
        """Scan the lines, type their slices, and find their templates."""
        entry, slices = json_scan.scan(block, self._layout.members, self._keys)
        is_given = slices.member[IDS_MAX:] >= 0
        numbers = self._numbers(slices)
        time = numbers[0]
        is_usual = (time >= bounds.spans[:, 0]) & (time < bounds.spans[:, 1])
        is_usual &= ~((numbers == _NOT_A_NUMBER) & is_given).any(axis=0)
        entry[~is_usual] = -1
        json_scan.divide(entry, bounds.context, np.searchsorted(bounds.eras, time, side="right"), self._templates)
        row = np.arange(IDS_MAX)[:, np.newaxis] * slices.text.shape[1]
        ends = slices.ends[:IDS_MAX].astype(np.int64)
        return _Found(entry, is_given, numbers, slices.text.reshape(-1), ends[:, :-1] + row, np.diff(ends))

    def _numbers(self, slices: Slices) -> npt.NDArray[np.int64]:
        """The number of each slice that is not an id, by number and line."""
        lines = slices.member.shape[1]
        columns: dict[str, pa.Array] = {}
        for number, name in enumerate(_TEXTS, IDS_MAX):
            # An absent slice is null: a cast that fails costs ten times as much as one that succeeds.
            given = pa.array(slices.member[number] >= 0).buffers()[1]
            text = pa.py_buffer(slices.ends[number]), pa.py_buffer(slices.text[number])
            columns[name] = pa.StringArray.from_buffers(lines, *text, given)
            if name in self._layout.several:
                columns[f"{name}_by"] = pa.array(self._layout.typed_by[slices.member[number]])
        typed = self._typed(pa.table(columns))
        return np.array([pc.fill_null(column, _NOT_A_NUMBER).to_numpy() for column in typed.columns])

    def _are_ids_long(self, found: _Found) -> npt.NDArray[np.bool_]:
        """Whether an id is too long together with its head."""
        if len(self._heads) == 1:
            return np.zeros(len(found.template), bool)
        before = np.array([len(head) for head in self._heads])[self._head[found.template]]
        place = np.maximum(self._id[found.template], 0)
        length = np.take_along_axis(found.id_length, place[np.newaxis], 0)[0]
        are_long: npt.NDArray[np.bool_] = (before > 0) & (before + length > ID_BYTES_MAX)
        return are_long

    def _remember(
        self,
        entries: npt.NDArray[np.int64],
        found: _Found,
        lines: "_BlockArrays",
        origin: LineOrigin,
        decoded: tuple[pa.Table, pa.Table],
    ) -> None:
        """Keep the events of the first lines of new `entries` that can serve as templates."""
        events, refused = decoded
        if not len(entries) or not events.num_rows:
            return
        line = self._templates.first[entries]
        position, at = lines.position[line], events["position"].to_numpy()
        row = np.minimum(np.searchsorted(at, position), len(at) - 1)
        alone = (events["item"].to_numpy() == 0) & np.append(at[1:] != at[:-1], True)
        kept = (at[row] == position) & alone[row] & ~np.isin(position, refused["position"].to_numpy())
        for number, name in enumerate(_NUMBERS):
            event_number = pc.fill_null(events[name].cast(pa.int64()), _ABSENT).to_numpy()[row]
            kept &= ~found.is_given[number, line] | (event_number == found.numbers[number, line])
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
        found: _Found,
        lines: "_BlockArrays",
        origin: LineOrigin,
    ) -> pa.Table:
        """All events in log order: `decoded`, in which the entries of a line are in order, and the lines `copied`."""
        entry, others = found.template[copied], decoded.num_rows
        position = np.concatenate([lines.position[copied], decoded["position"].to_numpy()])
        order = np.argsort(position, kind="stable")
        row_of_line = np.concatenate([self._event[entry], self._events.num_rows + np.arange(others)])[order]
        rows_by_line = pc.take(together(self._events, decoded), pa.array(row_of_line), boundscheck=False)
        nothing = np.zeros(others, np.int64)
        line = np.concatenate([copied, nothing])[order]
        is_copied = np.concatenate([np.ones(len(copied), bool), nothing.astype(bool)])[order]
        own: dict[str, pa.Array | pa.ChunkedArray] = {"position": pa.array(position[order])}
        for number, name in enumerate(_NUMBERS):
            is_own = is_copied & found.is_given[number].take(line)
            own[name] = _where(is_own, found.numbers[number].take(line), rows_by_line[name])
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
        _, offsets, data = column.buffers()
        text = np.frombuffer(data, np.uint8)
        text.flags.writeable = False  # the kernel is compiled for read-only arrays
        self.position = framed.lines["position"].to_numpy()
        self.block = Block(
            text,
            np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1].astype(np.int64),
            ~np.isin(self.position, framed.unreadable["position"].to_numpy()),
        )

    def part(self, chosen: npt.NDArray[np.bool_]) -> Lines:
        return Lines(self._framed.lines.filter(pa.array(chosen)), self._framed.unreadable)

    def which_id(self, event_id: str, found: _Found, line: int, *, is_behind: bool) -> tuple[int, str]:
        """Which id of a line its event has, and the text before it there.

        The text is empty or, with `is_behind`, ends with a space. Without the space, a hash that ends like the id by
        chance would pass.
        """
        for place in range(IDS_MAX):
            at, length = found.id_at[place, line], found.id_length[place, line]
            own = found.id_text[at : at + length].tobytes().decode()
            if own and (event_id == own or (is_behind and event_id.endswith(f" {own}"))):
                return place, event_id.removesuffix(own)
        return _NO_ID, ""

    def ids(
        self,
        chosen: npt.NDArray[np.int64],
        which: npt.NDArray[np.int8],
        heads: Sequence[bytes],
        head: npt.NDArray[np.int64],
        found: _Found,
    ) -> pa.StringArray:
        """The event ids of the `chosen` lines: an id of the line or the derived one, after the head of each."""
        place = np.maximum(which, 0)
        length = np.where(which == _DERIVED, 0, found.id_length[place, chosen])
        at = found.id_at[place, chosen]
        return json_scan.event_ids(found.id_text, at, length, heads, head, self.position[chosen])


def _where(chosen: npt.NDArray[np.bool_], numbers: npt.NDArray[np.int64], others: pa.ChunkedArray) -> pa.Array:
    """`numbers` where chosen, else `others`."""
    rest = others.cast(pa.int64())
    values = np.where(chosen, numbers, pc.fill_null(rest, 0).to_numpy())
    missing = (chosen & (numbers == _ABSENT)) | (~chosen & rest.is_null().to_numpy())
    return pa.array(values, mask=missing if missing.any() else None).cast(others.type)
