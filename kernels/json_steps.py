"""Steps of the JSON scan: what stands between the values of a line, remembered for the next line.

Lines of one log repeat the bytes between values. As long as a line does, only its values are read; at the first
different byte the scan goes from name to name, and records new steps.
"""

from typing import NamedTuple

import numpy as np

from kernels.json_layout import (
    CUT,
    DEPTH,
    FROM,
    INSIDE,
    KIND,
    LISTED,
    MEMBER,
    NAME_FROM,
    NAME_TO,
    NAMED_IN,
    OBJECTS_DEEP_MAX,
    OPENS,
    OPENS_LIST,
    SCALAR_IN,
    SCALAR_TO,
    SINGLE,
    STEPS_MAX,
    TAIL,
    TO,
    VALUE_FROM,
    VALUE_TO,
    WORD,
    WRAPS,
)
from kernels.json_text import (
    CLOSE,
    CLOSE_LIST,
    COLON,
    COMMA,
    OPEN,
    QUOTE,
    blank_end,
    inlined,
    name_end,
    opening,
    same_end,
    scalar_end,
    scalar_in,
    value_end,
    word_behind,
)
from kernels.words import byte, load

_KEY, _VALUE = (np.frombuffer(word, np.uint8) for word in (b'"key"', b'"value"'))


class Place(NamedTuple):
    """Where the scan is: at byte p of an object, so deep, with one bit for each open object that is alone in a list."""

    p: int
    inside: int
    depth: int
    wraps: int
    is_behind: bool  # behind a value; else at an object's beginning


class Value(NamedTuple):
    """A value [v, q), and the scalar [s, e) in it. q is -1 where there is none."""

    v: int
    q: int
    s: int
    e: int


class _Name(NamedTuple):
    """A member and the bytes of its name; -1 for a member that is not in the layout."""

    m: int
    start: int
    stop: int


@inlined
def beginning(p):
    """The place at the beginning of a line."""
    return Place(p, 0, 0, 0, is_behind=False)


@inlined
def expected(text, p, nth, layout, steps):
    """The value of the previous line's next step, if the text has the same bytes before it; else CUT."""
    m, kind = steps[nth, MEMBER], steps[nth, KIND]
    none = Value(-1, -1, -1, -1)
    if kind == CUT:
        return CUT, none
    v = same_end(text, p, steps[nth, FROM], steps[nth, TO])
    if v < 0:
        return CUT, none
    if kind in (TAIL, OPENS, OPENS_LIST):
        return kind, Value(v, v, v, v)
    if kind == SCALAR_IN:
        e = scalar_end(text, v)
        q = same_end(text, e, steps[nth, SCALAR_TO], steps[nth, VALUE_TO]) if e >= 0 else -1
        return (kind if q >= 0 else CUT), Value(v - (steps[nth, TO] - steps[nth, VALUE_FROM]), q, v, e)
    if m >= 0 and layout.object_of[m] >= 0 and opening(text, v, layout.listed[layout.object_of[m]])[0] >= 0:
        return CUT, none
    q = value_end(text, v)
    if q < 0:
        return CUT, none
    s, e = scalar_in(text, v, q) if kind == LISTED else (v, q)
    return kind, Value(v, q, s, e)


@inlined
def resumed(p, nth, steps):
    """The place after the steps that the line has followed."""
    if nth == 0:
        return beginning(p)
    is_behind = steps[nth - 1, KIND] not in (OPENS, OPENS_LIST)
    return Place(p, steps[nth - 1, INSIDE], steps[nth - 1, DEPTH], steps[nth - 1, WRAPS], is_behind)


@inlined
def next_place(text, begin, end, layout, place):
    """The place of the next name, after closing brackets and a comma; TAIL at the line's end, CUT where it is broken."""
    listed = layout.listed
    inside, depth, is_behind = place.inside, place.depth, place.is_behind
    p = blank_end(text, place.p + 1 if place.p == begin else place.p)
    if is_behind and listed[inside]:
        if byte(text, p) != CLOSE:
            return CUT, place
        p = blank_end(text, p + 1)
    if is_behind or byte(text, p) == (CLOSE_LIST if listed[inside] else CLOSE):
        while depth > 0 and byte(text, p) == (CLOSE_LIST if listed[inside] else CLOSE):
            depth -= 1
            inside = layout.parent[inside]
            p = blank_end(text, p + 1)
            if place.wraps >> depth & 1:
                if byte(text, p) != CLOSE_LIST:
                    return CUT, place
                p = blank_end(text, p + 1)
        if depth == 0 and byte(text, p) == CLOSE:
            return (TAIL if blank_end(text, p + 1) == end - 1 else CUT), place
        if byte(text, p) != COMMA:
            return CUT, place
        p = blank_end(text, p + 1)
    return SINGLE, Place(p, inside, depth, place.wraps, is_behind)


@inlined
def read_member(text, nth, start, place, layout, buffers):
    """The member at a place, the kind of its step, the place after it and its value. Keeps the step."""
    none = Value(-1, -1, -1, -1)
    steps = buffers.steps
    in_list = layout.listed[place.inside]
    name, p = _named(text, nth, place, layout, steps)
    if p < 0 or (layout.strict and _is_again(text, name, place.inside, nth, steps)):
        return -1, CUT, place, none
    m, v = name.m, blank_end(text, p)
    if m >= 0 and layout.object_of[m] >= 0:
        opens, is_wrapped = opening(text, v, layout.listed[layout.object_of[m]])
        if opens >= 0:
            if place.depth == OBJECTS_DEEP_MAX or in_list:
                return -1, CUT, place, none
            wraps = place.wraps & ~(1 << place.depth) | (1 if is_wrapped else 0) << place.depth
            p = blank_end(text, opens + 1)
            kind = OPENS_LIST if is_wrapped else OPENS
            value = Value(p, p, p, p)
            inside = Place(p, layout.object_of[m], place.depth + 1, wraps, is_behind=False)
            _keep(steps, nth, kind, name, (start, place.inside), value, inside)
            return m, kind, inside, value
    q = value_end(text, v)
    if q < 0:
        return -1, CUT, place, none
    kind, s, e = SINGLE, v, q
    if in_list:
        s, e = scalar_in(text, v, q)
        kind = SCALAR_IN if e > s else LISTED
    value = Value(v, q, s, e)
    _keep(steps, nth, kind, name, (start, place.inside), value, place)
    return m, kind, place, value


@inlined
def _named(text, nth, place, layout, steps):
    """The name at a place, and the position after its colon, or -1."""
    p, inside = place.p, place.inside
    none = _Name(-1, -1, -1)
    in_list = layout.listed[inside]
    if in_list:
        p = word_behind(text, p, OPEN, _KEY)
        if p < 0 or byte(text, p) != COLON:
            return none, -1
        p = blank_end(text, p + 1)
    m = steps[min(nth, STEPS_MAX), MEMBER]
    q = _likely_end(text, p, m, layout) if layout.first[inside] <= m < layout.first[inside + 1] else -1
    if q < 0:
        q = name_end(text, p)
        if q < 0:
            return none, -1
        m = _member(text, p + 1, q - 1, inside, layout)
    name = _Name(m, p + 1, q - 1)
    p = blank_end(text, q)
    if in_list:
        p = word_behind(text, p, COMMA, _VALUE)
        if p < 0:
            return none, -1
    return name, (p + 1 if byte(text, p) == COLON else -1)


@inlined
def _keep(steps, nth, kind, name, before, value, place):
    """Record this step; later steps are invalid until they are rewritten. `before`: its first byte and the object."""
    if nth < STEPS_MAX:
        start, named_in = before
        steps[nth, KIND], steps[nth, MEMBER], steps[nth, FROM], steps[nth, TO] = kind, name.m, start, value.s
        steps[nth, NAME_FROM], steps[nth, NAME_TO], steps[nth, NAMED_IN] = name.start, name.stop, named_in
        steps[nth, VALUE_FROM], steps[nth, SCALAR_TO], steps[nth, VALUE_TO] = value.v, value.e, value.q
        steps[nth, INSIDE], steps[nth, DEPTH], steps[nth, WRAPS] = place.inside, place.depth, place.wraps
        steps[nth + 1, KIND] = CUT


@inlined
def keep_tail(steps, nth, start, end):
    """Record the end of the line."""
    if nth <= STEPS_MAX:
        steps[nth, FROM], steps[nth, TO], steps[nth, KIND] = start, end, TAIL


@inlined
def _is_again(text, name, inside, nth, steps):
    """Whether a name repeats in its object, or the line has too many steps to tell."""
    if nth >= STEPS_MAX:
        return True
    length = name.stop - name.start
    for n in range(nth):
        before = steps[n, NAME_FROM]
        if steps[n, NAMED_IN] == inside and steps[n, NAME_TO] - before == length:
            j = 0
            while j < length and byte(text, before + j) == byte(text, name.start + j):
                j += 1
            if j == length:
                return True
    return False


@inlined
def _likely_end(text, p, m, layout):
    """The end of the name of member m if the text has it at p; -1 if it has another name, or may have."""
    at, size = layout.name_at[m], layout.name_at[m + 1] - layout.name_at[m]
    end = p + 1 + size
    if end + WORD > len(text) or byte(text, p) != QUOTE or byte(text, end) != QUOTE:
        return -1
    for j in range(0, size, WORD):
        beyond = max(j + WORD - size, 0)
        if (load(text, p + 1 + j) ^ load(layout.names, at + j)) << np.uint64(8 * beyond) != 0:
            return -1
    return end + 1


@inlined
def _member(text, start, stop, inside, layout):
    """The member of an object with this name; -1 if there is none."""
    # An empty name's first and last bytes are its quotes.
    tag = (stop - start) << 16 | np.int64(byte(text, start)) << 8 | np.int64(byte(text, stop - 1))
    for m in range(layout.first[inside], layout.first[inside + 1]):
        if layout.tags[m] == tag and _is_named(text, start, stop, m, layout):
            return m
    return -1


@inlined
def _is_named(text, start, stop, m, layout):
    at = np.uint64(layout.name_at[m])
    for j in range(np.uint64(stop - start)):
        if byte(text, np.uint64(start) + j) != layout.names[at + j]:
            return False
    return True
