"""The lines of refused entries, read once more: byte for byte what was read the first time, or not at all.

A letter whose stored text has the hash of the line is the line: nothing was struck out, and of client addresses no more than is
kept of any. Any other line is taken from the log itself, where it stood, and must have the hash that it had.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.framing import LINES, UNREADABLE, Lines
from ingest.text import frames

_ITEM_BITS = 22  # a line holds at most 1 MiB, a record 4, and so fewer entries than that


class Reread(NamedTuple):
    """Lines as they were, by position; positions whose line needs the log, which is not at hand; and those where it has another."""

    lines: Lines
    away: pa.Array
    changed: pa.Array


def reread(letters: pa.Table, path: Path | None) -> Reread:
    """The lines of `letters` (position, raw, raw_sha256, is_whole), all of one log, which is `path` if it is at hand.

    Raises ingest.text.UnreadableFile.
    """
    stored = letters.filter(letters["is_whole"]).select(["position", "raw"])
    kept = pa.table([stored["position"], _ended(stored["raw"])], schema=LINES)
    missing = letters.filter(pc.invert(letters["is_whole"]))
    sought = dict(zip(missing["position"].to_pylist(), missing["raw_sha256"].to_pylist(), strict=True))
    if not sought:
        return Reread(Lines(kept, UNREADABLE.empty_table()), _positions([]), _positions([]))
    if path is None:
        return Reread(Lines(kept, UNREADABLE.empty_table()), _positions(list(sought)), _positions([]))
    found = _found(path, sought)
    lines = pa.concat_tables([kept, found.lines]).sort_by("position")
    there = set(found.lines["position"].to_pylist())
    return Reread(Lines(lines, found.unreadable), _positions([]), _positions([p for p in sought if p not in there]))


def places(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Position and item of each row in one number; in log order they ascend."""
    keys: npt.NDArray[np.int64] = rows["position"].to_numpy() << _ITEM_BITS | rows["item"].to_numpy().astype(np.int64)
    return keys


def _found(path: Path, sought: Mapping[int, str]) -> Lines:
    """The lines of a log at some positions, where they have the hash they should have."""
    positions = _positions(sorted(sought))
    last = max(sought)
    lines, unreadable = [LINES.empty_table()], [UNREADABLE.empty_table()]
    framed = frames(path)
    try:
        for block in framed:
            here = block.lines.filter(pc.is_in(block.lines["position"], value_set=positions))
            bad = block.unreadable.filter(pc.is_in(block.unreadable["position"], value_set=positions))
            hashes = dict(zip(bad["position"].to_pylist(), bad["raw_sha256"].to_pylist(), strict=True))
            same = [
                sought[position] in ({hashes[position]} if position in hashes else known)
                for position, known in zip(here["position"].to_pylist(), sha256(here["line"]), strict=True)
            ]
            lines.append(here.filter(pa.array(same, pa.bool_())))
            unreadable.append(bad)
            if block.lines.num_rows and block.lines["position"][-1].as_py() >= last:
                break
    finally:
        framed.close()
    return Lines(pa.concat_tables(lines), pa.concat_tables(unreadable))


def sha256(lines: pa.ChunkedArray) -> list[set[str]]:
    """The hash of each line as letters have it, addresses cut, and as they had it before they were cut."""
    with duckdb.connect() as con:
        con.execute(resources.files("ingest.sql").joinpath("macros.sql").read_text())
        con.register("lines", pa.table({"line": lines}))
        found = con.sql(resources.files("ingest.sql").joinpath("hashes.sql").read_text()).to_arrow_table()
    return [set(pair) for pair in zip(*(column.to_pylist() for column in found.columns), strict=True)]


def _ended(raw: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(raw.cast(pa.string()), "\n", "")


def _positions(values: list[int]) -> pa.Array:
    return pa.array(np.array(values, np.int64))
