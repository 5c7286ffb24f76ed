"""Calls the JSON scan (kernels/json_scan.py) and loads it when it is worth half a second.

The scan gives each line a key: the bytes of all members of the format's field layout, in order; a member that varies
adds only its form. Lines with equal keys share a template. The scan leaves a line to the format's statement if anything
about it is unusual: it is not strict JSON, a name or an escape needs decoding, an id, a time or a number is not plain,
or a member that varies occurs twice.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kernels import compiled
from kernels.json_layout import (
    IDS_MAX,
    KEY_BYTES_MAX,
    NUMBERS,
    STEP,
    STEPS_MAX,
    WORD,
    FieldLayout,
    ScanBuffers,
    ScanResult,
    TemplateTable,
)

_loading: list[threading.Thread] = []  # at most one
_TENS = 10 ** np.arange(1, 19)  # each is the first number with one more digit


def empty_table(entries: int, key_bytes: int) -> TemplateTable:
    """Room for as many templates and bytes of keys. `entries` is a power of two."""
    return TemplateTable(
        np.full(2 * entries, -1, np.int32),
        np.empty(entries, np.uint64),
        np.zeros(entries + 1, np.int64),
        np.empty(key_bytes // 8, np.uint64),
        np.empty(entries, np.uint8),
        np.empty(entries, np.int64),
        np.zeros(3, np.int64),
    )


def load(layout: FieldLayout) -> None:
    """Load the kernel, which takes half a second, before there are lines to scan."""
    text, empty = np.zeros(0, np.uint8), np.zeros(0, np.int64)
    text.flags.writeable = False
    scan(
        text,
        np.zeros(1, np.int64),
        np.zeros(0, bool),
        empty.reshape(0, 2),
        empty,
        empty,
        layout,
        empty_table(1, WORD),
    )


def load_in_background(layout: FieldLayout) -> None:
    """Load the kernel in a thread, once per process. If it is not compiled yet, this takes some ten seconds."""
    if not _loading:
        _loading.append(threading.Thread(target=load, args=(layout,), name="load"))
        _loading[0].start()


def scan(
    text: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    usual: npt.NDArray[np.bool_],
    spans: npt.NDArray[np.int64],
    context: npt.NDArray[np.int64],
    eras: npt.NDArray[np.int64],
    layout: FieldLayout,
    table: TemplateTable,
) -> ScanResult:
    """Scan the lines text[offsets[i] : offsets[i + 1]] that are `usual`.

    `spans`: the times that each line may have, [from, to). `context`: a number for everything else that its result
    depends on. `eras`: the times at which the owner of a credential may change, sorted.
    """
    from kernels import json_scan  # noqa: PLC0415 takes half a second

    lines = len(offsets) - 1
    result = ScanResult(
        np.full(lines, -1, np.int32),
        np.zeros((lines, NUMBERS), np.int64),
        np.empty(offsets[-1] - offsets[0] + WORD, np.uint8),
        np.zeros(1, np.int64),
        np.zeros((lines, IDS_MAX), np.int64),
        np.zeros((lines, IDS_MAX), np.int32),
    )
    key = np.zeros(KEY_BYTES_MAX // 8, np.uint64)
    buffers = ScanBuffers(key, key.view(np.uint8), np.zeros((STEPS_MAX + 1, STEP), np.int64))
    json_scan.scan(text, offsets, usual, spans, context, eras, *layout, *table, *result, *buffers)
    compiled.mark_loaded()
    return result


def newlines(text: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], bool]:
    """Offsets of all newlines, and whether all bytes are ASCII."""
    from kernels import newlines as kernel  # noqa: PLC0415 takes half a second

    result = np.empty(len(text), np.intp)
    lines, is_ascii = kernel.newlines(text, result)
    return result[:lines], is_ascii


def event_ids(
    text: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    length: npt.NDArray[np.int32],
    heads: Sequence[bytes],
    head: npt.NDArray[np.int32],
    position: npt.NDArray[np.int64],
) -> pa.StringArray:
    """The id of each line: one of `heads`, then text[at : at + length], or the line's position if the length is 0."""
    from kernels import json_scan  # noqa: PLC0415 takes half a second

    begin = np.cumsum([0, *map(len, heads)])
    head_length = np.diff(begin)[head]
    size, derived = head_length + length, length == 0
    if derived.any():
        size[derived] += np.searchsorted(_TENS, position[derived], side="right") + 1
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(size, dtype=np.int32)])
    data = np.empty(offsets[-1] + WORD, np.uint8)  # the kernel copies whole words
    joined = np.frombuffer(b"".join(heads), np.uint8)
    json_scan.event_ids(text, at, length, joined, begin[head], head_length, position, offsets, data)
    return pa.StringArray.from_buffers(len(at), pa.py_buffer(offsets), pa.py_buffer(data))
