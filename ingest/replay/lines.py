"""The lines of refused entries, fetched again: byte for byte those of the first reading, or not at all.

A dead letter whose stored text has the hash of its line is the line: nothing was redacted except client addresses,
which are shortened everywhere. Any other line comes from its position in the log, and must have the recorded hash.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import statements
from ingest.decode.framing import LINES, UNREADABLE, Lines
from ingest.files.block_reader import frames

_ITEM_BITS = 22  # a line has at most 1 MiB and a record 4, and so fewer entries


class LinesOfLayout(NamedTuple):
    """Lines, and the line before them that defines their columns, if the format has such."""

    lines: Lines
    layout: str | None = None


class ReplayedLines(NamedTuple):
    """Lines by position; positions whose line needs the missing log; positions where the log has another line now."""

    parts: list[LinesOfLayout]
    needs_log: pa.Array
    changed: pa.Array


def replayed_lines(letters: pa.Table, path: Path | None, layout_prefix: str | None = None) -> ReplayedLines:
    """The lines of `letters` (position, raw, raw_sha256, is_whole) of one log, which is `path` if it is present.

    `layout_prefix`: the prefix of lines that define columns. If set, no letter suffices without the log.
    """
    suffices = pc.and_(letters["is_whole"], pa.scalar(layout_prefix is None))
    stored = letters.filter(suffices).select(["position", "raw"])
    kept = Lines(pa.table([stored["position"], _ended(stored["raw"])], schema=LINES), UNREADABLE.empty_table())
    missing = letters.filter(pc.invert(suffices))
    sought = dict(zip(missing["position"].to_pylist(), missing["raw_sha256"].to_pylist(), strict=True))
    if path is None or not sought:
        return ReplayedLines([LinesOfLayout(kept)], _positions(list(sought)), _positions([]))
    found = list(_found(path, sought, layout_prefix))
    there = {position for part in found for position in part.lines.lines["position"].to_pylist()}
    parts = found if layout_prefix else [LinesOfLayout(_in_order([kept, *(part.lines for part in found)]))]
    return ReplayedLines(parts, _positions([]), _positions([p for p in sought if p not in there]))


def entry_keys(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Position and item of each row in one number, ascending in log order."""
    keys: npt.NDArray[np.int64] = rows["position"].to_numpy() << _ITEM_BITS | rows["item"].to_numpy().astype(np.int64)
    return keys


def _found(path: Path, sought: Mapping[int, str], layout_prefix: str | None) -> Iterator[LinesOfLayout]:
    """The lines of a log at some positions, if they have the expected hash."""
    positions = _positions(sorted(sought))
    last = max(sought)
    before: str | None = None
    framed = frames(path)
    try:
        for block in framed:
            same = _same(block, positions, sought)
            if layout_prefix is None:
                yield LinesOfLayout(same)
            else:
                parts = _by_layout(block, same, layout_prefix, before)
                before = parts[-1].layout
                yield from parts
            if block.lines.num_rows and block.lines["position"][-1].as_py() >= last:
                break
    finally:
        framed.close()


def _same(block: Lines, positions: pa.Array, sought: Mapping[int, str]) -> Lines:
    here = block.lines.filter(pc.is_in(block.lines["position"], value_set=positions))
    bad = block.unreadable.filter(pc.is_in(block.unreadable["position"], value_set=positions))
    hashes = dict(zip(bad["position"].to_pylist(), bad["raw_sha256"].to_pylist(), strict=True))
    same = [
        sought[position] in ({hashes[position]} if position in hashes else known)
        for position, known in zip(here["position"].to_pylist(), sha256(here["line"]), strict=True)
    ]
    return Lines(here.filter(pa.array(same, pa.bool_())), bad)


def _by_layout(block: Lines, lines: Lines, prefix: str, before: str | None) -> list[LinesOfLayout]:
    """The `lines` of a block, split where the columns change. The last part, possibly empty, continues."""
    headers = block.lines.filter(pc.starts_with(block.lines["line"], prefix))
    layouts = [before, *headers["line"].to_pylist()]
    at = lines.lines["position"].to_numpy()
    cuts = [0, *np.searchsorted(at, headers["position"].to_numpy()), len(at)]
    return [
        LinesOfLayout(Lines(lines.lines.slice(start, end - start), lines.unreadable), layout)
        for layout, start, end in zip(layouts, cuts[:-1], cuts[1:], strict=True)
    ]


def _in_order(pieces: Sequence[Lines]) -> Lines:
    lines, unreadable = zip(*pieces, strict=True)
    return Lines(pa.concat_tables(lines).sort_by("position"), pa.concat_tables(unreadable))


def sha256(lines: pa.ChunkedArray) -> list[set[str]]:
    """The hashes of each line: with client addresses shortened, as dead letters have it, and unchanged."""
    with statements.connect() as con:
        con.register("lines", pa.table({"line": lines}))
        found = con.sql(statements.text("hashes")).to_arrow_table()
    return [set(pair) for pair in zip(*(column.to_pylist() for column in found.columns), strict=True)]


def _ended(raw: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(raw.cast(pa.string()), "\n", "")


def _positions(values: list[int]) -> pa.Array:
    return pa.array(np.array(values, np.int64))
