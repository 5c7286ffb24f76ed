"""Constants and arrays that the JSON scan (kernels/json_scan.py) shares with its callers. Does not load Numba."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WORD = 8  # bytes that a kernel compares and copies at once

# The role of a member. ALIKE: lines of one template have the same bytes there. The other roles vary from line to line.
# The scan takes the text of an ID and a NUMBER. PART: a number that counts only in a line without the number it is a
# part of. Of an ADDRESS the scan compares the network, of a REQUEST line the method. It ignores UNREAD members.
ALIKE, ID, NUMBER, PART, UNREAD, ADDRESS, REQUEST = range(7)

# The slices of a line: two ids, then time, request bytes, response bytes and latency.
IDS_MAX = 2
TIME, REQUEST_BYTES, RESPONSE_BYTES, LATENCY = range(IDS_MAX, 6)
SLICES = 6

VARYING_MAX = 62  # members that differ from line to line: the scan has a bit for each
KEY_BYTES_MAX = 2_048
ID_BYTES_MAX = 128
NUMBER_BYTES_MAX = 40
OBJECTS_DEEP_MAX = 8
STEPS_MAX = 128

ENTRIES, WORDS, NO_ROOM = range(3)  # indexes of KeyTable.counts

# The kinds of a step. CUT: no later step of the previous line is recorded. TAIL: the end of the line. OPENS: an object
# begins. OPENS_LIST: a list with one object begins. SINGLE: a value. SCALAR_IN: in a list of {"key": …, "value": {…}},
# a scalar in an object with one member. LISTED: any other value in such a list.
CUT, TAIL, OPENS, OPENS_LIST, SINGLE, SCALAR_IN, LISTED = range(7)
# The columns of a step.
STEP = 13
(
    KIND, MEMBER, NAME_FROM, NAME_TO, NAMED_IN, FROM, TO, VALUE_FROM, SCALAR_TO, VALUE_TO, INSIDE, DEPTH, WRAPS,
) = range(STEP)  # fmt: skip
# The columns of a slice of the current line: its member (-1: none), its bytes, and whether it cannot be told.
CHOSEN, SLICE_FROM, SLICE_TO, UNKNOWN = range(4)
MET, HAS_PART = range(2)  # the bits of members that were met; whether the line has a PART


class FieldLayout(NamedTuple):
    """A tree of member names, as arrays. The line is object 0; the members of object o are [first[o], first[o + 1])."""

    first: npt.NDArray[np.int64]
    tags: npt.NDArray[np.int64]  # length, first and last byte of each name, compared before the name itself
    names: npt.NDArray[np.uint8]  # all names one after another, and a word of zeros behind them
    name_at: npt.NDArray[np.int64]  # the name of member m is names[name_at[m] : name_at[m + 1]]
    object_of: npt.NDArray[np.int64]  # the object that member m is, or -1
    parent: npt.NDArray[np.int64]  # the object that each object lies in
    listed: npt.NDArray[np.bool_]  # whether the members of an object are the keys of a list of {"key": …, "value": …}
    role: npt.NDArray[np.int64]
    slice: npt.NDArray[np.int64]  # of a number or a part: which slice it is
    rank: npt.NDArray[np.int64]  # of an id: which slice it is; of a number: the lowest rank counts
    nth: npt.NDArray[np.int64]  # of a member that varies: its index among those
    strict: bool  # whether a repeated name, or very many, make a line unusual


class Block(NamedTuple):
    """The lines text[offsets[i] : offsets[i + 1]]; those that are not `usual` are not scanned."""

    text: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    usual: npt.NDArray[np.bool_]


class KeyTable(NamedTuple):
    """A hash table of keys. The scan fills it."""

    slots: npt.NDArray[np.int32]  # open addressing; -1: free
    hashes: npt.NDArray[np.uint64]
    at: npt.NDArray[np.int64]  # the key of entry e is words[at[e] : at[e + 1]]
    words: npt.NDArray[np.uint64]
    first: npt.NDArray[np.int64]  # the line that added the entry
    counts: npt.NDArray[np.int64]  # ENTRIES and WORDS in use; NO_ROOM: lines whose key did not fit


class Slices(NamedTuple):
    """The slices of lines: slice s of line i is text[s, ends[s, i] : ends[s, i + 1]], empty where there is none."""

    text: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int32]
    member: npt.NDArray[np.int16]  # by slice and line: the member it comes from, or -1


class ScanBuffers(NamedTuple):
    """The working memory of a scan.

    `steps` describe the previous line. Each step is the bytes [FROM, TO) and the value after them. Where the next line
    has the same bytes it is in the same state: INSIDE an object, at a DEPTH, with one bit of WRAPS for each open object
    that is the only one in a list. A step also has the MEMBER of its value, and the position of the member's name in
    the object NAMED_IN. `found` and `seen` describe the current line.
    """

    key: npt.NDArray[np.uint64]
    piece: npt.NDArray[np.uint8]  # the bytes of `key`
    steps: npt.NDArray[np.int64]
    found: npt.NDArray[np.int64]
    seen: npt.NDArray[np.int64]
