"""Finds lines of JSON that a line before has told all about, by a loop over their bytes (ingest/decode/loops.py).

For each line a key is made of what an event can depend on: the bytes of the members in the format's shape, in their order, except
that of those that vary only how they vary stands there. Lines with equal keys are twins. A line is left to the format's statement,
which is the rule for all, if anything about it is unusual: it is no strict JSON, a name or an escape is written in a way that needs
decoding, an id, a time or a number is not plain, something that varies stands in it twice.
"""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.decode.field_layout import IDS_MAX, WORD, Shape
from kernels import compiled

NUMBERS = 4  # time_us, request_bytes, response_bytes, latency_us
ENTRIES, WORDS, NO_ROOM = range(3)
KEY_BYTES_MAX = 2_048
ID_BYTES_MAX = 128
OBJECTS_DEEP_MAX = 8
STEPS_MAX = 128
# What a step of a line is: of the line before, of which nothing more is kept; its end; a member, which holds objects, or the first of a
# list of one; a value; in a list of {"key": …, "value": {…}} a scalar in an object of one, or another value.
CUT, TAIL, OPENS, OPENS_LIST, SINGLE, SCALAR_IN, LISTED = range(7)
STEP = 13
(
    KIND, MEMBER, NAME_FROM, NAME_TO, NAMED_IN, FROM, TO, VALUE_FROM, SCALAR_TO, VALUE_TO, INSIDE, DEPTH, WRAPS,
) = range(STEP)  # fmt: skip
_loading: list[threading.Thread] = []  # one, once it has begun
_TENS = 10 ** np.arange(1, 19)  # each has one digit more than the numbers below it


class Known(NamedTuple):
    """Keys seen so far, as arrays that the loop fills."""

    slots: npt.NDArray[np.int32]  # open addressing; -1: free
    hashes: npt.NDArray[np.uint64]
    at: npt.NDArray[np.int64]  # the key of entry e is words[at[e] : at[e + 1]]
    words: npt.NDArray[np.uint64]
    plain: npt.NDArray[np.uint8]  # which numbers are read from the line, a bit each
    first: npt.NDArray[np.int64]  # the line that brought it
    counts: npt.NDArray[np.int64]  # at ENTRIES, WORDS, NO_ROOM: lines that found none


class Found(NamedTuple):
    """Of each line: its entry, or -1 where it is left to the statement; its numbers, and where in `id_text` its ids lie, where they are plain."""

    entry: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    id_text: npt.NDArray[np.uint8]  # as they were met; to fetch them from all over the block later takes longer
    id_end: npt.NDArray[np.int64]  # one number: how much of it is filled
    id_at: npt.NDArray[np.int64]
    id_length: npt.NDArray[np.int32]


class _Room(NamedTuple):
    """What the loop works in."""

    key: npt.NDArray[np.uint64]
    piece: npt.NDArray[np.uint8]  # the key's bytes
    # What the line before consists of: each step is the bytes [FROM, TO) and a value behind them. Where the next line has the same bytes,
    # it is at the same place: INSIDE of which object, DEPTH of how many, and for each of them, a bit of WRAPS, whether it is a list of one.
    # Its name, in the object NAMED_IN, is then the line's own, too; and most logs have the same MEMBER there whatever stands around it.
    steps: npt.NDArray[np.int64]


def nothing_known(entries: int, key_bytes: int) -> Known:
    """Room for so many keys, a power of two."""
    return Known(
        np.full(2 * entries, -1, np.int32),
        np.empty(entries, np.uint64),
        np.zeros(entries + 1, np.int64),
        np.empty(key_bytes // 8, np.uint64),
        np.empty(entries, np.uint8),
        np.empty(entries, np.int64),
        np.zeros(3, np.int64),
    )


def load(shape: Shape) -> None:
    """Load the loop, in half a second, before there are lines for it."""
    text, of_none = np.zeros(0, np.uint8), np.zeros(0, np.int64)
    text.flags.writeable = False
    find(
        text,
        np.zeros(1, np.int64),
        np.zeros(0, bool),
        of_none.reshape(0, 2),
        of_none,
        of_none,
        shape,
        nothing_known(1, WORD),
    )


def load_beside(shape: Shape) -> None:
    """Begin to, once a process, beside other work. Where the loop has not been compiled yet it takes some ten seconds."""
    if not _loading:
        _loading.append(threading.Thread(target=load, args=(shape,), name="load"))
        _loading[0].start()


def find(
    text: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    usual: npt.NDArray[np.bool_],
    spans: npt.NDArray[np.int64],
    context: npt.NDArray[np.int64],
    eras: npt.NDArray[np.int64],
    shape: Shape,
    known: Known,
) -> Found:
    """Line i is text[offsets[i] : offsets[i + 1]]. Only `usual` lines are looked at.

    `spans`: the times that each line may lie in, [from, to). `context`: what else its result depends on. `eras`: the times at which
    the owner of a credential may change, sorted.
    """
    from ingest.decode import loops  # noqa: PLC0415 half a second, which only many lines are worth

    lines = len(offsets) - 1
    found = Found(
        np.full(lines, -1, np.int32),
        np.zeros((lines, NUMBERS), np.int64),
        np.empty(offsets[-1] - offsets[0] + WORD, np.uint8),
        np.zeros(1, np.int64),
        np.zeros((lines, IDS_MAX), np.int64),
        np.zeros((lines, IDS_MAX), np.int32),
    )
    key = np.zeros(KEY_BYTES_MAX // 8, np.uint64)
    room = _Room(key, key.view(np.uint8), np.zeros((STEPS_MAX + 1, STEP), np.int64))
    loops.find(text, offsets, usual, spans, context, eras, *shape, *known, *found, *room)
    compiled.now_loaded()
    return found


def newlines(text: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], bool]:
    """Offsets of all newlines, and whether all bytes are ASCII. There must be room for as many as there are bytes."""
    from ingest.decode import loops  # noqa: PLC0415 see above

    found = np.empty(len(text), np.intp)
    lines, is_ascii = loops.newlines(text, found)
    return found[:lines], is_ascii


def ids(
    text: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    length: npt.NDArray[np.int32],
    heads: Sequence[bytes],
    head: npt.NDArray[np.int32],
    position: npt.NDArray[np.int64],
) -> pa.StringArray:
    """Of each line one of the `heads`, and text[at : at + length] behind it; where the length is 0, the line's position."""
    from ingest.decode import loops  # noqa: PLC0415 it is loaded by now

    begin = np.cumsum([0, *map(len, heads)])
    head_length = np.diff(begin)[head]
    size, derived = head_length + length, length == 0
    if derived.any():
        size[derived] += np.searchsorted(_TENS, position[derived], side="right") + 1
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(size, dtype=np.int32)])
    data = np.empty(offsets[-1] + WORD, np.uint8)  # the loop copies words
    joined = np.frombuffer(b"".join(heads), np.uint8)
    loops.ids(text, at, length, joined, begin[head], head_length, position, offsets, data)
    return pa.StringArray.from_buffers(len(at), pa.py_buffer(offsets), pa.py_buffer(data))
