"""Constants and arrays that the JSON scan (kernels/json_scan.py) shares with its callers. Does not load Numba."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WORD = 8  # bytes that a kernel compares and copies at once

# The role of a member. ALIKE: lines of one template have the same bytes there. The other roles vary from line to line.
# The scan
# reads ids, times and numbers; it compares the network of an address and the method of a request line; it ignores
# UNREAD members.
(
    ALIKE, ID, ID_BEHIND, ADDRESS, UNREAD, REQUEST, TIME, TIME_CUT, REQUEST_BYTES, RESPONSE_BYTES, LATENCY_MS, LATENCY_S, LATENCY_NS,
    LATENCY_PART, END, EPOCH,
) = range(16)  # fmt: skip
ROLES = 16
NUMBERS = 4  # time_us, request_bytes, response_bytes, latency_us
NUMBER = np.full(ROLES, -1)  # by role: its index among NUMBERS, or -1
NUMBER[[TIME, TIME_CUT, EPOCH]] = 0
NUMBER[[REQUEST_BYTES, RESPONSE_BYTES]] = 1, 2
NUMBER[[LATENCY_MS, LATENCY_S, LATENCY_NS, END]] = 3

IDS_MAX = 2  # of one line
PLACES_MAX = 14  # members that may hold the same number: the scan has four bits for them
VARYING_MAX = 62  # members that differ from line to line: the scan has a bit for each
KEY_BYTES_MAX = 2_048
ID_BYTES_MAX = 128
OBJECTS_DEEP_MAX = 8
STEPS_MAX = 128

ENTRIES, WORDS, NO_ROOM = range(3)  # indexes of TemplateTable.counts

# The kinds of a step. CUT: no later step of the previous line is recorded. TAIL: the end of the line. OPENS: an object
# begins.
# OPENS_LIST: a list with one object begins. SINGLE: a value. SCALAR_IN: in a list of {"key": …, "value": {…}}, a scalar
# in an
# object with one member. LISTED: any other value in such a list.
CUT, TAIL, OPENS, OPENS_LIST, SINGLE, SCALAR_IN, LISTED = range(7)
# The columns of a step.
STEP = 13
(
    KIND, MEMBER, NAME_FROM, NAME_TO, NAMED_IN, FROM, TO, VALUE_FROM, SCALAR_TO, VALUE_TO, INSIDE, DEPTH, WRAPS,
) = range(STEP)  # fmt: skip


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
    place: npt.NDArray[
        np.int64
    ]  # of an id or a number: its rank among the members that hold the same; the lowest rank counts
    nth: npt.NDArray[np.int64]  # of a member that varies: its index among those
    strict: bool  # whether a repeated name, or very many, make a line unusual

    @property
    def is_behind(self) -> bool:
        """Whether an event id may be an id of the line with another text before it."""
        return bool((self.role == ID_BEHIND).any())


class TemplateTable(NamedTuple):
    """The hash table of all template keys seen so far. The scan fills it."""

    slots: npt.NDArray[np.int32]  # open addressing; -1: free
    hashes: npt.NDArray[np.uint64]
    at: npt.NDArray[np.int64]  # the key of entry e is words[at[e] : at[e + 1]]
    words: npt.NDArray[np.uint64]
    plain: npt.NDArray[np.uint8]  # one bit for each number that the scan reads from the line
    first: npt.NDArray[np.int64]  # the line that added the entry
    counts: npt.NDArray[np.int64]  # ENTRIES and WORDS in use; NO_ROOM: lines whose key did not fit


class ScanResult(NamedTuple):
    """The result of a scan, one row per line. `entry` is the line's template, or -1 where the scan cannot tell."""

    entry: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    id_text: npt.NDArray[np.uint8]  # all ids, copied during the scan, which is faster than later
    id_end: npt.NDArray[np.int64]  # one number: how much of id_text is filled
    id_at: npt.NDArray[np.int64]
    id_length: npt.NDArray[np.int32]


class ScanBuffers(NamedTuple):
    """The working memory of a scan.

    `steps` describe the previous line. Each step is the bytes [FROM, TO) and the value after them. Where the next line
    has the same bytes it is in the same state: INSIDE an object, at a DEPTH, with one bit of WRAPS for each open object
    that is the only one in a list. A step also has the MEMBER of its value, and the position of the member's name in
    the object NAMED_IN.
    """

    key: npt.NDArray[np.uint64]
    piece: npt.NDArray[np.uint8]  # the bytes of `key`
    steps: npt.NDArray[np.int64]
