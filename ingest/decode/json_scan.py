"""Calls the JSON scan (kernels/json_scan.py) and loads it when it is worth half a second.

The scan splits each line into a key and slices. The key is the bytes of all members of the format's field layout, in
order; a member that varies adds only that it is there. Slices are the texts of ids, times and numbers. The scan leaves
a line to the format's statement if anything about it is unusual: it is not strict JSON, a name or an escape needs
decoding, or a member that varies occurs twice.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kernels import compiled
from kernels.json_layout import (
    ID_BYTES_MAX,
    KEY_BYTES_MAX,
    SLICES,
    STEP,
    STEPS_MAX,
    WORD,
    Block,
    FieldLayout,
    KeyTable,
    ScanBuffers,
    Slices,
)

_loading: list[threading.Thread] = []  # at most one
_TENS = 10 ** np.arange(1, 19)  # each is the first number with one more digit


def empty_table(entries: int, key_bytes: int) -> KeyTable:
    """Room for as many keys and bytes of keys. `entries` is a power of two."""
    return KeyTable(
        np.full(2 * entries, -1, np.int32),
        np.empty(entries, np.uint64),
        np.zeros(entries + 1, np.int64),
        np.empty(key_bytes // WORD, np.uint64),
        np.empty(entries, np.int64),
        np.zeros(3, np.int64),
    )


def load(layout: FieldLayout) -> None:
    """Load the kernels, which takes half a second, before there are lines to scan."""
    text, none = np.zeros(0, np.uint8), np.zeros(0, np.int64)
    text.flags.writeable = False
    entry, _ = scan(Block(text, np.zeros(1, np.int64), np.zeros(0, bool)), layout, empty_table(1, WORD))
    divide(entry, none, none, empty_table(1, WORD))


def load_in_background(layout: FieldLayout) -> None:
    """Load the kernels in a thread, once per process. If they are not compiled yet, this takes some ten seconds."""
    if not _loading:
        _loading.append(threading.Thread(target=load, args=(layout,), name="load"))
        _loading[0].start()


def scan(block: Block, layout: FieldLayout, table: KeyTable) -> tuple[npt.NDArray[np.int32], Slices]:
    """The entry of each line's key in `table`, or -1 where the scan cannot tell; and the slices of each line."""
    from kernels import json_scan  # noqa: PLC0415 takes half a second

    lines = len(block.offsets) - 1
    entry = np.full(lines, -1, np.int32)
    # An id is no longer than ID_BYTES_MAX, and all slices together no longer than the block.
    room = min(int(block.offsets[-1] - block.offsets[0]), lines * ID_BYTES_MAX) + WORD
    slices = Slices(
        np.empty((SLICES, room), np.uint8),
        np.zeros((SLICES, lines + 1), np.int32),
        np.full((SLICES, lines), -1, np.int16),
    )
    key = np.zeros(KEY_BYTES_MAX // WORD, np.uint64)
    steps, found = np.zeros((STEPS_MAX + 1, STEP), np.int64), np.zeros((SLICES, 4), np.int64)
    buffers = ScanBuffers(key, key.view(np.uint8), steps, found, np.zeros(2, np.int64))
    json_scan.scan(block, layout, table, slices, entry, buffers)
    compiled.mark_loaded()
    return entry, slices


def divide(
    entry: npt.NDArray[np.int32], context: npt.NDArray[np.int64], era: npt.NDArray[np.int64], table: KeyTable
) -> None:
    """Replace each entry by the entry of (entry, context, era) in `table`; -1 stays."""
    from kernels import key_table  # noqa: PLC0415 takes half a second

    key_table.divide(entry, context, era, table, np.zeros(2, np.uint64))


def newlines(text: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], bool]:
    """Offsets of all newlines, and whether all bytes are ASCII."""
    from kernels import newlines as kernel  # noqa: PLC0415 takes half a second

    result = np.empty(len(text), np.intp)
    lines, is_ascii = kernel.newlines(text, result)
    return result[:lines], is_ascii


def event_ids(
    text: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    heads: Sequence[bytes],
    head_of: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
) -> pa.StringArray:
    """The id of each line: one of `heads`, then text[at : at + length], or the line's position if the length is 0."""
    from kernels import json_scan  # noqa: PLC0415 takes half a second

    head_length = np.array([len(head) for head in heads])
    head_at = np.cumsum(head_length) - head_length
    size, derived = head_length[head_of] + length, length == 0
    if derived.any():
        size[derived] += np.searchsorted(_TENS, position[derived], side="right") + 1
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(size, dtype=np.int32)])
    data = np.empty(offsets[-1] + WORD, np.uint8)  # the kernel copies whole words
    joined = np.frombuffer(b"".join(heads), np.uint8)
    json_scan.event_ids((text, at, length), (joined, head_at, head_length), head_of, position, (offsets, data))
    return pa.StringArray.from_buffers(len(at), pa.py_buffer(offsets), pa.py_buffer(data))
