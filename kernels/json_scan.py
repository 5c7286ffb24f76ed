"""The JSON scan: one pass over the bytes of many lines that splits each line into a key and slices.

The key contains the bytes of every member of the layout, in order. A member that varies adds only that it is there, or
its beginning; ids, times and numbers are sliced out as they are written, and typed elsewhere. Compiling takes some ten
seconds at the first use on a machine; the result is cached.

Kernels never read past the current line: its newline ends every token. A position of -1 means that the line is unusual
there. Kernels neither raise nor allocate. Tuples of numbers travel in registers, arrays in named structures.
"""

import numpy as np

from kernels.compiled import compiled
from kernels.json_layout import (
    ADDRESS,
    ALIKE,
    CHOSEN,
    CUT,
    HAS_PART,
    ID,
    KEY_BYTES_MAX,
    LATENCY,
    MEMBER,
    MET,
    OPENS,
    OPENS_LIST,
    PART,
    REQUEST,
    SLICE_FROM,
    SLICE_TO,
    SLICES,
    TAIL,
    TIME,
    UNKNOWN,
    UNREAD,
    WORD,
)
from kernels.json_steps import Place, Value, beginning, expected, keep_tail, next_place, read_member, resumed
from kernels.json_text import (
    NEWLINE,
    OPEN,
    OPEN_LIST,
    QUOTE,
    ZERO,
    brackets,
    inlined,
    is_plain_id,
    is_plain_number,
    method_end,
    network_end,
)
from kernels.key_table import entry_of
from kernels.words import byte, load, store

_LINE_BYTES_MAX = 65_535
# Room in a key for a member's header, and for the parts after the last member.
_KEY_ENDS_BYTES = 32
# Longer lines, or lines with more brackets, are `doubtful` (ingest/decode/sql/macros.sql).
_STRICT_BYTES_MAX, _STRICT_BRACKETS_MAX = 1_280, 32
# Markers in the place of a length in a key, greater than any length: a number or an id that was sliced out, and the
# same in quotes; an object; a list with one object; and the flag of a value of which only the beginning counts.
_PLAIN, _PLAIN_TEXT, _OBJECT, _LIST, _BEGINNING = 0xFFFF, 0xFFFE, 0xFF00, 0xFEFF, 0x8000
# In the place of a member: the line's first member is not in the layout. Some formats tell envelopes by their first
# member. And the end of the members.
_BEGINS_OTHERWISE, _ENDS = 0xFFFE, 0xFFFD


@compiled()
def scan(block, layout, table, slices, entry, buffers):
    """Scan the lines of a Block. Writes the entry of each line's key, or -1, and its Slices."""
    text, offsets = block.text, block.offsets
    for i in range(len(offsets) - 1):
        begin, end = offsets[i], offsets[i + 1]
        for s in range(SLICES):
            buffers.found[s, CHOSEN], buffers.found[s, UNKNOWN] = -1, 0
        if block.usual[i] and _is_scanned(text, begin, end, layout.strict):
            used = _line(text, begin, end, layout, buffers)
            if used >= 0 and _is_told(buffers):
                # The end of the members. Two equal ids are marked, since the event's id could be either.
                used = _put(buffers.piece, used, _ENDS, 1 if _has_one_id_twice(text, buffers.found) else 0)
                store(buffers.piece, used, np.uint64(0))
                entry[i] = entry_of(buffers.key, (used + WORD - 1) // WORD, i, table)
        _slice(text, buffers.found, entry[i] >= 0, i, slices)


@inlined
def _is_scanned(text, begin, end, strict):
    """Whether a line is an object of usual size."""
    if end - begin > _LINE_BYTES_MAX or byte(text, begin) != OPEN or byte(text, end - 1) != NEWLINE:
        return False
    return not strict or (end - begin <= _STRICT_BYTES_MAX and brackets(text, begin, end) <= _STRICT_BRACKETS_MAX)


@inlined
def _is_told(buffers):
    """Whether the line has a time, and a latency if it has a part of one."""
    found = buffers.found
    if found[TIME, CHOSEN] < 0:
        return False
    return buffers.seen[HAS_PART] == 0 or found[LATENCY, CHOSEN] >= 0


@inlined
def _has_one_id_twice(text, found):
    if found[0, CHOSEN] < 0 or found[1, CHOSEN] < 0:
        return False
    start, length = found[0, SLICE_FROM], found[0, SLICE_TO] - found[0, SLICE_FROM]
    if found[1, SLICE_TO] - found[1, SLICE_FROM] != length:
        return False
    for j in range(length):
        if byte(text, start + j) != byte(text, found[1, SLICE_FROM] + j):
            return False
    return True


@inlined
def _slice(text, found, has_entry, i, slices):
    """Copy the slices of line i."""
    for s in range(SLICES):
        end = np.int64(slices.ends[s, i])
        if has_entry and found[s, CHOSEN] >= 0:
            start, stop = found[s, SLICE_FROM], found[s, SLICE_TO]
            slices.member[s, i] = found[s, CHOSEN]
            _copy(text, start, stop, slices.text[s], end)
            end += stop - start
        slices.ends[s, i + 1] = end


@inlined
def _line(text, begin, end, layout, buffers):
    """Append the line's members to the key. Returns the length of the key, or -1.

    As long as the line has the same bytes as the previous line between values, it follows the steps of that line.
    """
    steps = buffers.steps
    buffers.seen[MET], buffers.seen[HAS_PART] = 0, 0
    nth, used = 0, 0
    place = beginning(begin)
    follows = end + WORD <= len(text)
    while True:
        m, kind, value = -1, CUT, Value(-1, -1, -1, -1)
        if follows:
            m = steps[nth, MEMBER]
            kind, value = expected(text, place.p, nth, layout, steps)
            if kind == CUT:
                follows = False
                place = resumed(place.p, nth, steps)
        if not follows:
            start = place.p
            kind, place = next_place(text, begin, end, layout, place)
            if kind == TAIL:
                keep_tail(steps, nth, start, end)
            elif kind != CUT:
                m, kind, place, value = read_member(text, nth, start, place, layout, buffers)
        if kind == TAIL:
            return used
        if kind != CUT:
            used = _added(text, (nth, m, kind), value, used, layout, buffers)
        if kind == CUT or used < 0:
            return -1
        place = Place(value.q, place.inside, place.depth, place.wraps, kind not in (OPENS, OPENS_LIST))
        nth += 1


@inlined
def _added(text, step, value, used, layout, buffers):
    """The length of the key with the value of a step (its number, member and kind); -1: too long, or unusual."""
    nth, m, kind = step
    if kind in (OPENS, OPENS_LIST):
        if used + _KEY_ENDS_BYTES > KEY_BYTES_MAX:
            return -1
        return _put(buffers.piece, used, m, _LIST if kind == OPENS_LIST else _OBJECT)
    if m >= 0:
        return _add(text, m, value, used, layout, buffers)
    return _put(buffers.piece, used, _BEGINS_OTHERWISE, 0) if nth == 0 else used


@inlined
def _add(text, m, value, used, layout, buffers):
    """Append a member's value to the key; if it varies, only what is known of it. Returns the length, or -1."""
    start, stop, length = value.v, value.q, value.q - value.v  # the bytes for the key
    role = layout.role[m]
    if role != ALIKE:
        nth = layout.nth[m]
        if buffers.seen[MET] >> nth & 1:
            return -1
        buffers.seen[MET] |= 1 << nth
        is_text = value.s < value.e and byte(text, value.s) == QUOTE
        a, b = (value.s + 1, value.e - 1) if is_text else (value.s, value.e)  # without quotes
        beginning = -1
        if role == ADDRESS:
            beginning = network_end(text, a, b)
        elif role == REQUEST:
            beginning = method_end(text, a, b) if is_text else -1
        elif role == UNREAD:
            beginning = a if a < b and is_text else -1  # an empty value may have a meaning of its own
        else:
            length = _taken(text, m, (a, b, is_text), length, layout, buffers)
            if length < 0:
                return -1
            stop = start if length >= _PLAIN_TEXT else stop
        if beginning >= 0:
            start, stop, length = a, beginning, _BEGINNING + beginning - a
    if start < stop and not layout.strict and _is_nested(text, value):
        return -1  # how the statement spells it depends on the rest of the line (`exact_numbers`)
    if used + _KEY_ENDS_BYTES + stop - start > KEY_BYTES_MAX:
        return -1
    used = _put(buffers.piece, used, m, length)
    _copy(text, start, stop, buffers.piece, used)
    return used + stop - start


@inlined
def _is_nested(text, value):
    """Whether a value is an object or a list, or has no scalar in it."""
    first = byte(text, value.s if value.s < value.e else value.v)
    return first in (OPEN, OPEN_LIST)


@inlined
def _taken(text, m, scalar, length, layout, buffers):
    """Take the slice of an id, a number or a part. Returns its marker; `length` if it is not plain; -1: unusual."""
    a, b, is_text = scalar
    found, role, rank = buffers.found, layout.role[m], layout.rank[m]
    plain = _PLAIN_TEXT if is_text else _PLAIN
    if role == PART:
        buffers.seen[HAS_PART] = 1
        return _PLAIN
    if role == ID:
        if is_text and is_plain_id(text, a, b):
            found[rank, CHOSEN], found[rank, SLICE_FROM], found[rank, SLICE_TO] = m, a, b
            return plain
        return length
    s = layout.slice[m]
    is_plain = is_plain_number(text, a, b, is_text, layout.strict)
    before = found[s, CHOSEN]
    if found[s, UNKNOWN] or (before >= 0 and not is_plain):
        return -1  # more than is known here decides which of several members counts
    if not is_plain:
        found[s, UNKNOWN] = 1
        return length
    if before < 0 or rank < layout.rank[before]:
        found[s, CHOSEN], found[s, SLICE_FROM], found[s, SLICE_TO] = m, a, b
    return plain


@inlined
def _copy(text, start, stop, piece, used):
    """Copy word by word. Writes up to seven bytes too many: there is room, and the next write overwrites them."""
    while start < stop and start + WORD <= len(text):
        store(piece, used, load(text, start))
        start += WORD
        used += WORD
    for j in range(start, stop):
        piece[used + j - start] = byte(text, j)


@inlined
def _put(piece, used, member, length):
    """Append the header of a member to a key: the member, and its length or a marker."""
    store(piece, used, np.uint64(member | length << 16))
    return used + 4


@compiled()
def event_ids(ids, heads, head_of, position, out):
    """Write the event id of each line: its head, then a slice, or its position if the slice is empty.

    `ids`: text and (at, length) by line. `heads`: text and (at, length) by head. `out`: offsets and text.
    """
    text, at, length = ids
    head_text, head_at, head_length = heads
    offsets, data = out
    for i in range(len(at)):
        p, start = np.int64(offsets[i]), head_at[head_of[i]]
        size = head_length[head_of[i]]
        _copy(head_text, start, start + size, data, p)
        p += size
        _copy(text, at[i], at[i] + length[i], data, p)
        if length[i] == 0:
            rest = position[i]
            for j in range(offsets[i + 1] - 1, p - 1, -1):
                data[j] = ZERO + rest % 10
                rest //= 10
