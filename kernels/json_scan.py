"""The JSON scan: one pass over the bytes of many lines that assigns each line a template and reads its ids and numbers.

The key of a template contains the bytes of every member of the layout, in order; a member that varies adds only its
form. Compiling takes some ten seconds at the first use on a machine; the result is cached.

Kernels never read past the current line: its newline ends every token. They compare eight bytes at a time
(kernels/words.py) where the text is long enough. A position of -1 means that the line is unusual there. Kernels neither
raise nor allocate.
"""

import numpy as np

from kernels.compiled import compiled
from kernels.json_layout import (
    ADDRESS,
    ALIKE,
    CUT,
    DEPTH,
    END,
    ENTRIES,
    EPOCH,
    FROM,
    ID,
    ID_BEHIND,
    ID_BYTES_MAX,
    INSIDE,
    KEY_BYTES_MAX,
    KIND,
    LATENCY_MS,
    LATENCY_NS,
    LATENCY_PART,
    LATENCY_S,
    LISTED,
    MEMBER,
    NAME_FROM,
    NAME_TO,
    NAMED_IN,
    NO_ROOM,
    NUMBER,
    NUMBERS,
    OBJECTS_DEEP_MAX,
    OPENS,
    OPENS_LIST,
    REQUEST,
    SCALAR_IN,
    SCALAR_TO,
    SINGLE,
    STEPS_MAX,
    TAIL,
    TIME,
    TIME_CUT,
    TO,
    UNREAD,
    VALUE_FROM,
    VALUE_TO,
    WORD,
    WORDS,
    WRAPS,
)
from kernels.words import byte, load, store, zeros_below

_LINE_BYTES_MAX = 65_535
# Room in a key for a member's header, and for the parts after the last member.
_KEY_ENDS_BYTES = 32
# Longer lines, or lines with more brackets, are `doubtful` (ingest/decode/sql/macros.sql).
_STRICT_BYTES_MAX, _STRICT_BRACKETS_MAX = 1_280, 32
_DIGITS_MAX = 15
_SECONDS_DIGITS_MAX = 11
_NANOS_DIGITS = 19
_LATENCY_DIGITS_MAX = 9
_DECIMALS_MAX = 30
_DOUBLE_DIGITS = 15  # so many digits survive a double
_DOUBLE_DECIMALS = 7  # a time as a double has as many
_SECONDS_END = 1 << 33  # beyond, doubles are further apart than microseconds
_NUMBER_BYTES_MAX = 32
_DEPTH_MAX = 60

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _DOT, _ZERO, _NINE, _E, _SMALL_E = 34, 92, 44, 58, 45, 46, 48, 57, 69, 101
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _SPACE, _TAB, _NEWLINE, _RETURN = 123, 125, 91, 93, 32, 9, 10, 13
_PLUS, _SLASH, _FIVE, _BIG_A, _BIG_T, _BIG_Z, _ZULU, _SMALL_S = b"+/5ATZZs"
# Markers in the place of a length in a key, greater than any length: a varying member that was read (minus its form);
# an object;
# a list with one object; and the flag of a value of which only the beginning counts.
_PLAIN, _OBJECT, _LIST, _BEGINNING = 0xFFFF, 0xFF00, 0xFEFF, 0x8000
# Forms of a number. All lines of a template have it in one form; the statement decides from the first line what it
# means.
_WHOLE, _SECONDS, _MILLIS, _NANOS, _DECIMAL, _WITH_UNIT, _ISO_UTC, _ISO_ZONE, _CLF, _COARSE = range(10)
_TEXT = 16  # added where the number is in quotes
# In the place of a member: the line's first member is not in the layout. Some formats tell envelopes by their first
# member.
_BEGINS_OTHERWISE = 0xFFFE
# The bits of `seen`: for each number four bits with 1 + the rank of its member, all set where the value could not be
# read; then
# whether the line has a LATENCY_PART or an END.
_PLACE_BITS, _PLACE, _HAS_PART, _HAS_END = 4, 15, 1 << 16, 1 << 17
_TIME, _LATENCY = NUMBER[TIME], NUMBER[LATENCY_MS]


def _table(characters: bytes) -> np.ndarray:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


# What ends a run of plain characters in a string: its quote, a backslash, and control characters, which JSON forbids in
# strings.
_ENDS = _table(bytes(range(_SPACE)) + b'"\\')
_ESCAPED = _table(b'"\\/bfnrt')  # not u: not every code is a character
_PLAIN_ID = _table(bytes(range(_SPACE + 1, 127))) & ~_table(b"\\")
_TRUE, _FALSE, _NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
_KEY, _VALUE, _STRING_VALUE, _INT_VALUE, _DOUBLE_VALUE = (
    np.frombuffer(word, np.uint8) for word in (b'"key"', b'"value"', b'"stringValue"', b'"intValue"', b'"doubleValue"')
)
_MONTHS = np.frombuffer(b"JanFebMarAprMayJunJulAugSepOctNovDec", np.uint8)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_ONE = np.uint64(1)
# A word with the lowest bit of each byte set, the highest bit, and some character in each byte.
_LOW, _HIGH, _SPACES, _QUOTES, _BACKSLASHES, _DELETES = (
    np.uint64(each * 0x0101010101010101) for each in (1, 0x80, _SPACE, _QUOTE, _BACKSLASH, 0x7F)
)


_compiled = compiled()
_inlined = compiled(forceinline=True)


@_compiled
def scan(
    text, offsets, usual, spans, context, eras, first, tags, names, name_at, object_of, parent, listed, role, place, varies, strict,
    slots, hashes, at, words, plain, brought, counts, entry, numbers, id_text, id_end, id_at, id_length, key, piece, steps,
):  # fmt: skip
    """Scan the lines text[offsets[i] : offsets[i + 1]].

    The other arguments are the fields of FieldLayout, TemplateTable, ScanResult and ScanBuffers, in order. Writes to
    the last three.
    """
    for i in range(len(offsets) - 1):
        begin, end = offsets[i], offsets[i + 1]
        if (
            not usual[i]
            or end - begin > _LINE_BYTES_MAX
            or byte(text, begin) != _OPEN
            or byte(text, end - 1) != _NEWLINE
        ):
            continue
        if strict and (end - begin > _STRICT_BYTES_MAX or _brackets(text, begin, end) > _STRICT_BRACKETS_MAX):
            continue
        used, seen = _line(
            text, begin, end, i, piece, steps, first, tags, names, name_at, object_of, parent, listed, role, place, varies,
            strict, numbers, id_text, id_end, id_at, id_length,
        )  # fmt: skip
        time, read = numbers[i, _TIME], _numbers_read(seen)
        if used < 0 or read >> _TIME & 1 == 0 or time < spans[i, 0] or time >= spans[i, 1]:
            continue
        if seen & _HAS_PART and read >> _LATENCY & 1 == 0:
            continue
        if seen & _HAS_END:
            numbers[i, _LATENCY] -= time
            if numbers[i, _LATENCY] < 0:
                continue
        # The end of the members. Two equal ids are marked, since the event's id could be either.
        used = _put(piece, used, _PLAIN, _OBJECT if _has_one_id_twice(id_text, i, id_at, id_length) else _PLAIN)
        used = _put(piece, used, context[i] & 0xFFFF, context[i] >> 16)
        era = _era(eras, time)
        used = _put(piece, used, era & 0xFFFF, era >> 16)
        store(piece, used, np.uint64(0))
        entry[i] = _entry(key, (used + WORD - 1) // WORD, read, i, slots, hashes, at, words, plain, brought, counts)


@_inlined
def _numbers_read(seen):
    """One bit for each number that was read."""
    read = 0
    for number in range(NUMBERS):
        place = seen >> number * _PLACE_BITS & _PLACE
        if 0 < place < _PLACE:
            read |= 1 << number
    return read


@_inlined
def _era(eras, time):
    """The number of eras that have begun by a time."""
    low, high = 0, len(eras)
    while low < high:
        middle = (low + high) // 2
        if eras[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low


@_inlined
def _line(
    text, begin, end, i, piece, steps, first, tags, names, name_at, object_of, parent, listed, role, place,
    varies, strict, numbers, id_text, id_end, id_at, id_length,
):  # fmt: skip
    """Append the line's members to the key. Returns the length of the key, or -1, and the bits of `seen`.

    As long as the line has the same bytes as the previous line between values, it follows the steps of that line.
    """
    nth, used, seen, met = 0, 0, 0, 0
    p, inside, depth, wraps = begin, 0, 0, 0
    behind = False  # a value; else an object's beginning
    follows = end + WORD <= len(text)
    while True:
        m, v, q, s, e = -1, -1, -1, -1, -1
        if follows:
            m, kind = steps[nth, MEMBER], steps[nth, KIND]
            v = _same_end(text, p, steps[nth, FROM], steps[nth, TO]) if kind != CUT else -1
            if v >= 0 and kind == TAIL:
                return used, seen
            if v >= 0 and kind in (OPENS, OPENS_LIST):
                if used + _KEY_ENDS_BYTES > KEY_BYTES_MAX:
                    return -1, seen
                used = _put(piece, used, m, _LIST if kind == OPENS_LIST else _OBJECT)
                nth += 1
                p = v
                continue
            if v >= 0 and kind == SCALAR_IN:
                s = v
                v -= steps[nth, TO] - steps[nth, VALUE_FROM]
                e = _scalar_end(text, s)
                q = _same_end(text, e, steps[nth, SCALAR_TO], steps[nth, VALUE_TO]) if e >= 0 else -1
            elif v >= 0 and not (m >= 0 and object_of[m] >= 0 and _opening(text, v, listed[object_of[m]])[0] >= 0):
                q = _value_end(text, v)
                s, e = _scalar_in(text, v, q) if q >= 0 and kind == LISTED else (v, q)
            if q < 0:
                follows = False
                if nth > 0:
                    inside, depth, wraps = steps[nth - 1, INSIDE], steps[nth - 1, DEPTH], steps[nth - 1, WRAPS]
                    behind = steps[nth - 1, KIND] not in (OPENS, OPENS_LIST)
        if not follows:
            start = p
            p = _blank_end(text, p + 1 if p == begin else p)
            if behind and listed[inside]:
                if byte(text, p) != _CLOSE:
                    return -1, seen
                p = _blank_end(text, p + 1)
            if behind or byte(text, p) == (_CLOSE_LIST if listed[inside] else _CLOSE):
                while depth > 0 and byte(text, p) == (_CLOSE_LIST if listed[inside] else _CLOSE):
                    depth -= 1
                    inside = parent[inside]
                    p = _blank_end(text, p + 1)
                    if wraps >> depth & 1:
                        if byte(text, p) != _CLOSE_LIST:
                            return -1, seen
                        p = _blank_end(text, p + 1)
                if depth == 0 and byte(text, p) == _CLOSE:
                    if _blank_end(text, p + 1) != end - 1:
                        return -1, seen
                    if nth <= STEPS_MAX:
                        steps[nth, FROM], steps[nth, TO], steps[nth, KIND] = start, end, TAIL
                    return used, seen
                if byte(text, p) != _COMMA:
                    return -1, seen
                p = _blank_end(text, p + 1)
            in_list = listed[inside]
            if in_list:
                p = _word_behind(text, p, _OPEN, _KEY)
                p = _blank_end(text, p + 1) if p >= 0 and byte(text, p) == _COLON else begin  # where no name is
            m = steps[min(nth, STEPS_MAX), MEMBER]
            q = _likely_end(text, p, m, names, name_at) if first[inside] <= m < first[inside + 1] else -1
            if q < 0:
                q = _name_end(text, p)
                if q < 0:
                    return -1, seen
                m = _member(text, p + 1, q - 1, first[inside], first[inside + 1], tags, names, name_at)
            name, name_end, named_in = p + 1, q - 1, inside
            if strict and _is_again(text, name, name_end, named_in, nth, steps):
                return -1, seen
            p = _blank_end(text, q)
            if in_list:
                p = _word_behind(text, p, _COMMA, _VALUE)
                if p < 0:
                    return -1, seen
            if byte(text, p) != _COLON:
                return -1, seen
            v = _blank_end(text, p + 1)
            if m >= 0 and object_of[m] >= 0:
                opens, wrapped = _opening(text, v, listed[object_of[m]])
                if opens >= 0:
                    if depth == OBJECTS_DEEP_MAX or used + _KEY_ENDS_BYTES > KEY_BYTES_MAX or in_list:
                        return -1, seen
                    used = _put(piece, used, m, _LIST if wrapped else _OBJECT)
                    wraps = wraps & ~(1 << depth) | (1 if wrapped else 0) << depth
                    depth += 1
                    inside = object_of[m]
                    p = _blank_end(text, opens + 1)
                    kind = OPENS_LIST if wrapped else OPENS
                    _keep(steps, nth, kind, m, name, name_end, named_in, start, p, p, p, p, inside, depth, wraps)
                    nth += 1
                    behind = False
                    continue
            q = _value_end(text, v)
            if q < 0:
                return -1, seen
            kind, s, e = SINGLE, v, q
            if in_list:
                s, e = _scalar_in(text, v, q)
                kind = SCALAR_IN if e > s else LISTED
            _keep(steps, nth, kind, m, name, name_end, named_in, start, s, v, e, q, inside, depth, wraps)
        if m >= 0:
            used, seen, met = _value(
                text, v, q, s, e, i, m, role[m], place[m], varies[m], piece, used, seen, met, numbers, id_text, id_end, id_at, id_length
            )  # fmt: skip
            if used < 0:
                return -1, seen
        elif nth == 0:
            used = _put(piece, used, _BEGINS_OTHERWISE, _PLAIN)
        p = q
        nth += 1
        behind = True


@_inlined
def _same_end(text, p, start, stop):
    """The end of bytes that equal [start, stop); -1 where they differ."""
    while start + WORD <= stop:
        if load(text, p) != load(text, start):
            return -1
        p += WORD
        start += WORD
    if start < stop and (load(text, p) ^ load(text, start)) << np.uint64(8 * (WORD - stop + start)) != 0:
        return -1
    return p + stop - start


@_inlined
def _keep(
    steps, nth, kind, m, name, name_end, named_in, start, stop, value_from, scalar_to, value_to, inside, depth, wraps
):
    """Record this step; later steps are invalid until they are rewritten."""
    if nth < STEPS_MAX:
        steps[nth, KIND], steps[nth, MEMBER], steps[nth, FROM], steps[nth, TO] = kind, m, start, stop
        steps[nth, NAME_FROM], steps[nth, NAME_TO], steps[nth, NAMED_IN] = name, name_end, named_in
        steps[nth, VALUE_FROM], steps[nth, SCALAR_TO], steps[nth, VALUE_TO] = value_from, scalar_to, value_to
        steps[nth, INSIDE], steps[nth, DEPTH], steps[nth, WRAPS] = inside, depth, wraps
        steps[nth + 1, KIND] = CUT


@_inlined
def _brackets(text, begin, end):
    count = 0
    for j in range(np.uint64(begin), np.uint64(end)):
        count += 1 if byte(text, j) == _OPEN or byte(text, j) == _OPEN_LIST else 0
    return count


@_inlined
def _is_again(text, start, stop, inside, nth, steps):
    """Whether a name repeats in its object, or the line has too many steps to tell."""
    if nth >= STEPS_MAX:
        return True
    for n in range(nth):
        before = steps[n, NAME_FROM]
        if steps[n, NAMED_IN] == inside and steps[n, NAME_TO] - before == stop - start:
            j = 0
            while j < stop - start and byte(text, before + j) == byte(text, start + j):
                j += 1
            if j == stop - start:
                return True
    return False


@_inlined
def _opening(text, p, is_list):
    """The position of an object's brace, or -1; and whether the object is the first of a list."""
    if is_list:
        return (p if byte(text, p) == _OPEN_LIST else -1), False
    if byte(text, p) != _OPEN_LIST:
        return (p if byte(text, p) == _OPEN else -1), False
    q = _blank_end(text, p + 1)
    return (q if byte(text, q) == _OPEN else -1), True


@_inlined
def _word_behind(text, p, before, word):
    """The end of a character and a word after it; -1 where the text has something else."""
    if byte(text, p) != before:
        return -1
    q = _word_end(text, _blank_end(text, p + 1), word)
    return _blank_end(text, q) if q >= 0 else -1


@_inlined
def _scalar_in(text, p, q):
    """The scalar in an object [p, q) with one member that is named by its type; an empty range for anything else."""
    if byte(text, p) != _OPEN:
        return p, p
    start = _blank_end(text, p + 1)
    end = _word_end(text, start, _STRING_VALUE)
    if end < 0:
        end = _word_end(text, start, _INT_VALUE)
    if end < 0:
        end = _word_end(text, start, _DOUBLE_VALUE)
    if end < 0:
        return p, p
    s = _blank_end(text, _blank_end(text, end) + 1)  # after its colon: the text is JSON up to q
    e = _scalar_end(text, s)
    return (s, e) if e >= 0 and _blank_end(text, e) == q - 1 else (p, p)


@_inlined
def _value(
    text, p, q, s, e, i, m, role, place, nth, piece, used, seen, met, numbers, id_text, id_end, id_at, id_length
):
    """Append a member's value [p, q) to the key, or read the scalar [s, e) in it if the member varies."""
    is_text = s < e and byte(text, s) == _QUOTE
    a, b = (s + 1, e - 1) if is_text else (s, e)  # without quotes
    start, stop, length = p, q, q - p  # the bytes for the key
    if role != ALIKE:
        if met >> nth & 1:
            return -1, seen, met
        met |= 1 << nth
        beginning = -1
        if role == ADDRESS:
            beginning = _network_end(text, a, b)
        elif role == REQUEST:
            beginning = _method_end(text, a, b) if is_text else -1
        elif role == UNREAD:
            beginning = a if a < b and is_text else -1  # an empty value may have a meaning of its own
        elif role == LATENCY_PART:
            seen |= _HAS_PART
            start, stop, length = p, p, _PLAIN
        elif role in (ID, ID_BEHIND):
            if is_text and _is_plain_id(text, a, b):
                _copy(text, a, b, id_text, id_end[0])
                id_at[i, place], id_length[i, place] = id_end[0], b - a
                id_end[0] += b - a
                start, stop, length = p, p, _PLAIN
        else:
            number, shift = NUMBER[role], NUMBER[role] * _PLACE_BITS
            before = seen >> shift & _PLACE
            value, form = _number(text, a, b, role, is_text)
            form += _TEXT if is_text else 0
            if before and (value < 0 or before == _PLACE):
                return -1, seen, met  # more than the form decides which of several members counts
            if value >= 0:
                if before == 0 or place + 1 < before:
                    numbers[i, number] = value
                    seen = seen & ~(_PLACE << shift) | (place + 1) << shift
                seen |= _HAS_END if role == END else 0
                start, stop, length = p, p, _PLAIN - form
            elif form & ~_TEXT == _COARSE:
                start, stop, length = p, p, _PLAIN - form
            else:
                seen |= _PLACE << shift
        if beginning >= 0:
            start, stop, length = a, beginning, _BEGINNING + beginning - a
    if used + _KEY_ENDS_BYTES + stop - start > KEY_BYTES_MAX:
        return -1, seen, met
    used = _put(piece, used, m, length)
    _copy(text, start, stop, piece, used)
    return used + stop - start, seen, met


@_inlined
def _copy(text, start, stop, piece, used):
    """Copy word by word. Writes up to seven bytes too many: there is room, and the next write overwrites them."""
    while start < stop and start + WORD <= len(text):
        store(piece, used, load(text, start))
        start += WORD
        used += WORD
    for j in range(start, stop):
        piece[used + j - start] = byte(text, j)


@_inlined
def _put(piece, used, member, length):
    """Append the header of a member to a key: the member, and its length or a marker."""
    store(piece, used, np.uint64(member | length << 16))
    return used + 4


@_inlined
def _entry(key, length, read, line, slots, hashes, at, words, plain, brought, counts):
    """The entry of a key, added if it is new; -1 if the table is full."""
    hashed = np.uint64(length)
    for j in range(length):
        hashed = (hashed ^ key[j]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    mask = np.uint64(len(slots) - 1)
    slot = hashed & mask
    while slots[slot] >= 0:
        e = slots[slot]
        if hashes[e] == hashed and at[e + 1] - at[e] == length and _are_same(words, at[e], key, length):
            return e
        slot = (slot + _ONE) & mask
    e = counts[ENTRIES]
    if e == len(hashes) or counts[WORDS] + length > len(words):
        counts[NO_ROOM] += 1
        return -1
    for j in range(length):
        words[counts[WORDS] + j] = key[j]
    counts[ENTRIES] += 1
    counts[WORDS] += length
    at[e + 1] = counts[WORDS]
    hashes[e], plain[e], brought[e], slots[slot] = hashed, read, line, e
    return e


@_inlined
def _are_same(words, start, key, length):
    for j in range(length):
        if words[start + j] != key[j]:
            return False
    return True


@_inlined
def _likely_end(text, p, m, names, name_at):
    """The end of the name of member m if the text has it at p; -1 if it has another name, or may have."""
    at, size = name_at[m], name_at[m + 1] - name_at[m]
    end = p + 1 + size
    if end + WORD > len(text) or byte(text, p) != _QUOTE or byte(text, end) != _QUOTE:
        return -1
    for j in range(0, size, WORD):
        beyond = max(j + WORD - size, 0)
        if (load(text, p + 1 + j) ^ load(names, at + j)) << np.uint64(8 * beyond) != 0:
            return -1
    return end + 1


@_inlined
def _member(text, start, stop, low, high, tags, names, name_at):
    """The member of [low, high) with this name; -1 if there is none."""
    # An empty name's first and last bytes are its quotes.
    tag = (stop - start) << 16 | np.int64(byte(text, start)) << 8 | np.int64(byte(text, stop - 1))
    for m in range(low, high):
        if tags[m] == tag and _is_named(text, start, stop, m, names, name_at):
            return m
    return -1


@_inlined
def _is_named(text, start, stop, m, names, name_at):
    at = np.uint64(name_at[m])
    for j in range(np.uint64(stop - start)):
        if byte(text, np.uint64(start) + j) != names[at + j]:
            return False
    return True


@_inlined
def _blank_end(text, p):
    while byte(text, p) == _SPACE or byte(text, p) == _TAB or byte(text, p) == _RETURN:
        p += 1
    return p


@_inlined
def _plain_end(text, p):
    """The next quote, backslash or control character.

    The index is unsigned: a signed one would be tested for negative values.
    """
    while p + WORD <= len(text):
        word = load(text, p)
        quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
        # Sets the high bit of the first such byte, and perhaps of later bytes, since the subtraction borrows upwards.
        ends = ((word - _SPACES) & ~word | (quotes - _LOW) & ~quotes | (backslashes - _LOW) & ~backslashes) & _HIGH
        if ends != 0:
            return p + (zeros_below(ends) >> 3)
        p += WORD
    q = np.uint64(p)
    while not _ENDS[byte(text, q)]:
        q += _ONE
    return np.int64(q)


@_inlined
def _name_end(text, p):
    """The end of a name; -1 where there is none, or one with an escape."""
    if byte(text, p) != _QUOTE:
        return -1
    p = _plain_end(text, p + 1)
    return p + 1 if byte(text, p) == _QUOTE else -1


@_inlined
def _text_end(text, p):
    """The end of a string; -1 where it is not JSON, or has an escape by number."""
    p = _plain_end(text, p + 1)
    while byte(text, p) == _BACKSLASH:
        if not _ESCAPED[byte(text, p + 1)]:
            return -1
        p = _plain_end(text, p + 2)
    return p + 1 if byte(text, p) == _QUOTE else -1


@_inlined
def _digits_end(text, p):
    while byte(text, p) >= _ZERO and byte(text, p) <= _NINE:
        p += 1
    return p


@_inlined
def _number_end(text, p):
    """The end of a number; -1 where there is none, or one that may be out of range (an exponent, very many digits)."""
    start = p
    if byte(text, p) == _MINUS:
        p += 1
    q = _digits_end(text, p)
    if q == p or (byte(text, p) == _ZERO and q > p + 1):
        return -1
    if byte(text, q) == _DOT:
        p = q + 1
        q = _digits_end(text, p)
        if q == p:
            return -1
    return -1 if q - start > _NUMBER_BYTES_MAX or byte(text, q) == _E or byte(text, q) == _SMALL_E else q


@_inlined
def _word_end(text, p, word):
    for c in word:
        if byte(text, p) != c:
            return -1
        p += 1
    return p


@_inlined
def _scalar_end(text, p):
    c = byte(text, p)
    if c == _QUOTE:
        return _text_end(text, p)
    if c == _TRUE[0]:
        return _word_end(text, p, _TRUE)
    if c == _FALSE[0]:
        return _word_end(text, p, _FALSE)
    if c == _NULL[0]:
        return _word_end(text, p, _NULL)
    return _number_end(text, p)


@_inlined
def _value_end(text, p):
    """The end of a value of any kind; -1 where it is not JSON, or nested too deep."""
    depth, lists = 0, 0  # one bit for each open bracket, the innermost lowest; 1: a list
    while True:
        if byte(text, p) == _OPEN or byte(text, p) == _OPEN_LIST:
            is_list = byte(text, p) == _OPEN_LIST
            if depth == _DEPTH_MAX:
                return -1
            depth += 1
            lists = lists << 1 | (1 if is_list else 0)
            p = _blank_end(text, p + 1)
            if byte(text, p) != (_CLOSE_LIST if is_list else _CLOSE):
                p = p if is_list else _named_value(text, p)
                if p < 0:
                    return -1
                continue
        else:
            p = _scalar_end(text, p)
            if p < 0:
                return -1
        while depth > 0:
            p = _blank_end(text, p)
            if byte(text, p) == _COMMA:
                p = _blank_end(text, p + 1)
                p = p if lists & 1 else _named_value(text, p)
                if p < 0:
                    return -1
                break
            if byte(text, p) != (_CLOSE_LIST if lists & 1 else _CLOSE):
                return -1
            p += 1
            depth -= 1
            lists >>= 1
        if depth == 0:
            return p


@_inlined
def _named_value(text, p):
    """The position of the value after a name and its colon."""
    if byte(text, p) != _QUOTE:
        return -1
    p = _text_end(text, p)
    if p < 0:
        return -1
    p = _blank_end(text, p)
    return _blank_end(text, p + 1) if byte(text, p) == _COLON else -1


@_inlined
def _whole(text, a, b):
    """The value of a string of digits, short enough to be multiplied; -1 for anything else."""
    if b - a < 1 or b - a > _DIGITS_MAX:
        return -1
    value = 0
    for j in range(a, b):
        if byte(text, j) < _ZERO or byte(text, j) > _NINE:
            return -1
        value = value * 10 + np.int64(byte(text, j) - _ZERO)
    return value


@_inlined
def _number(text, a, b, role, is_text):
    """The number or time that the statement would read, or -1; and its form. A JSON number counts as its double."""
    if role == TIME_CUT:
        return _time_us(text, a, b, _DECIMALS_MAX if is_text else _DOUBLE_DECIMALS)
    if role == TIME:
        return _time_us(text, a, b, 6)
    if role == EPOCH:
        value, form = _time_us(text, a, b, 6)
        return (value if form in (_SECONDS, _MILLIS, _NANOS, _DECIMAL) else -1), form
    if role == END:
        return _end_us(text, a, b)
    if role in (LATENCY_MS, LATENCY_S):
        return _latency_us(text, a, b, 3 if role == LATENCY_MS else 6, _DECIMALS_MAX if is_text else _DOUBLE_DIGITS)
    value = _whole(text, a, b)
    if role == LATENCY_NS and value >= 0:
        value = (value + 500) // 1000 if value > 0 else -1
    return value, _WHOLE


@_inlined
def _time_us(text, a, b, decimals_max):
    """Microseconds since 1970 of a time in any form, or -1; and the form."""
    if b - a >= 20 and byte(text, a + 4) == _MINUS:
        return _iso_us(text, a, b)
    if b - a == 24 and byte(text, a + 2) == _SLASH:
        return _clf_us(text, a, b), _CLF
    end = _digits_end(text, a)
    digits = end - a
    if end == b and digits <= _SECONDS_DIGITS_MAX:
        value = _whole(text, a, b)
        return (value * 1_000_000 if value >= 0 else -1), _SECONDS
    if end == b and digits <= _DIGITS_MAX:
        return _whole(text, a, b) * 1000, _MILLIS
    if end == b and digits == _NANOS_DIGITS:
        return _whole(text, a, a + 10) * 1_000_000 + _whole(text, a + 10, a + 16), _NANOS
    if end >= b or byte(text, end) != _DOT or digits < 1 or digits > _SECONDS_DIGITS_MAX:
        return -1, _DECIMAL
    seconds, micros = _whole(text, a, end), _micros(text, end + 1, b, 6)
    if micros < 0 or b - end - 1 > decimals_max or seconds >= _SECONDS_END:
        return -1, _DECIMAL
    if decimals_max == _DOUBLE_DECIMALS == b - end - 1 and not _is_own_double(seconds, _whole(text, end + 1, b)):
        return -1, _DECIMAL
    return seconds * 1_000_000 + micros, _DECIMAL


@_inlined
def _is_own_double(seconds, tenths):
    """Whether a time with seven decimals is the shortest text of its double, so that none with six decimals is.

    Holds from 2004 to 2038, where doubles are 2**-22 s apart.
    """
    below = tenths - tenths % 10
    own = _double(tenths)
    return tenths == below or (seconds >> 30 == 1 and own != _double(below) and own != _double(below + 10))


@_inlined
def _double(tenths):
    """The nearest multiple of 2**-22 to a fraction with seven digits. There is never a tie."""
    return ((tenths << 22) + 5_000_000) // 10_000_000


@_inlined
def _end_us(text, a, b):
    """Like _time_us, for the end of a request: a time in whole seconds gives no latency."""
    value, form = _time_us(text, a, b, 6)
    if form in (_ISO_UTC, _ISO_ZONE):
        return (value, form) if byte(text, a + 19) == _DOT else (-1, _COARSE if value >= 0 else form)
    return (value, form) if form == _NANOS else (-1, _COARSE if form == _SECONDS and value >= 0 else form)


@_inlined
def _micros(text, a, b, places):
    """The first digits after a decimal point; -1 where there is anything but digits, or nothing."""
    if b - a < 1 or b - a > _DECIMALS_MAX or _digits_end(text, a) < b:
        return -1
    value = _whole(text, a, min(b, a + places))
    for _ in range(b - a, places):
        value *= 10
    return value


@_inlined
def _latency_us(text, a, b, places, digits_max):
    """A latency rounded to microseconds, or -1; and its form. `places`: decimals that make a microsecond.

    Zero gives -1: it has no unit.
    """
    form = _WHOLE
    if places == 6 and b > a and byte(text, b - 1) == _SMALL_S:
        b -= 1
        form = _WITH_UNIT
    end = min(_digits_end(text, a), b)
    if end - a < 1 or end - a > _LATENCY_DIGITS_MAX:
        return -1, form
    value = _whole(text, a, end)
    for _ in range(places):
        value *= 10
    if end < b:
        form = form if form == _WITH_UNIT else _DECIMAL
        micros = _micros(text, end + 1, b, places)
        if byte(text, end) != _DOT or micros < 0 or b - a - 1 > digits_max:
            return -1, form
        value += micros
        if b - end - 1 > places and byte(text, end + 1 + places) >= _FIVE:
            value += 1
    return (value if value > 0 else -1), form


@_inlined
def _iso_us(text, a, b):
    """Microseconds since 1970 of YYYY-MM-DDTHH:MM:SS[.fraction] with Z or ±HH:MM, or -1; and the form."""
    form, east_min, zone = _ISO_UTC, 0, b - 1
    if byte(text, b - 1) != _ZULU:
        form, zone = _ISO_ZONE, b - 6
        hours, minutes = _whole(text, zone + 1, zone + 3), _whole(text, zone + 4, b)
        if byte(text, zone + 3) != _COLON or not 0 <= hours <= 14 or not 0 <= minutes <= 59:
            return -1, form
        if byte(text, zone) != _PLUS and byte(text, zone) != _MINUS:
            return -1, form
        east_min = (hours * 60 + minutes) * (1 if byte(text, zone) == _PLUS else -1)
    if zone < a + 19 or byte(text, a + 7) != _MINUS or byte(text, a + 10) != _BIG_T:
        return -1, form
    day = _days(_whole(text, a, a + 4), _whole(text, a + 5, a + 7), _whole(text, a + 8, a + 10))
    second = _second_of_day(text, a + 11)
    if day < 0 or second < 0:
        return -1, form
    micros = 0
    if zone > a + 19:
        micros = _micros(text, a + 20, zone, 6)
        if byte(text, a + 19) != _DOT or micros < 0:
            return -1, form
    return ((day * 86_400 + second) - east_min * 60) * 1_000_000 + micros, form


@_inlined
def _clf_us(text, a, b):
    """Microseconds since 1970 of DD/Mon/YYYY:HH:MM:SS.mmm; -1 for any other form."""
    month = 0
    for number in range(12):
        if (
            byte(text, a + 3) == _MONTHS[3 * number]
            and byte(text, a + 4) == _MONTHS[3 * number + 1]
            and byte(text, a + 5) == _MONTHS[3 * number + 2]
        ):
            month = number + 1
    day = _days(_whole(text, a + 7, a + 11), month, _whole(text, a, a + 2))
    second, millis = _second_of_day(text, a + 12), _whole(text, a + 21, b)
    if (
        byte(text, a + 6) != _SLASH
        or byte(text, a + 11) != _COLON
        or byte(text, a + 20) != _DOT
        or day < 0
        or second < 0
        or millis < 0
    ):
        return -1
    return (day * 86_400 + second) * 1_000_000 + millis * 1000


@_inlined
def _second_of_day(text, a):
    """The second of the day of HH:MM:SS; -1 for anything else."""
    hour, minute, second = _whole(text, a, a + 2), _whole(text, a + 3, a + 5), _whole(text, a + 6, a + 8)
    if (
        byte(text, a + 2) != _COLON
        or byte(text, a + 5) != _COLON
        or not 0 <= hour <= 23
        or not 0 <= minute <= 59
        or not 0 <= second <= 59
    ):
        return -1
    return (hour * 60 + minute) * 60 + second


@_inlined
def _days(year, month, day):
    """Days since 1970 of a date in 1970 or later; -1 for anything else."""
    if year < 1970 or not 1 <= month <= 12:
        return -1
    leap_day = 1 if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 0
    if not 1 <= day <= _MONTH_DAYS[month] + leap_day:
        return -1
    past = year - 1 if month <= 2 else year  # years begin in March here, so that the leap day is their last
    return past * 365 + past // 4 - past // 100 + past // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469


@_inlined
def _method_end(text, a, b):
    """The end of the method of a request line whose target is a path; -1 for others, or a line with an escape."""
    j = a
    while byte(text, j) >= _BIG_A and byte(text, j) <= _BIG_Z:
        j += 1
    return (
        j
        if j > a and j + 1 < b and byte(text, j) == _SPACE and byte(text, j + 1) == _SLASH and _plain_end(text, j) == b
        else -1
    )


@_inlined
def _is_plain_id(text, a, b):
    if b - a < 1 or b - a > ID_BYTES_MAX or (b - a == 1 and byte(text, a) == _MINUS):
        return False
    while a + WORD <= b:
        word = load(text, a)
        spaces, backslashes, deletes = word ^ _SPACES, word ^ _BACKSLASHES, word ^ _DELETES
        if (word | (spaces - _LOW) | (backslashes - _LOW) | (deletes - _LOW)) & _HIGH != 0:
            return False
        a += WORD
    for j in range(a, b):
        if not _PLAIN_ID[byte(text, j)]:
            return False
    return True


@_inlined
def _has_one_id_twice(id_text, i, id_at, id_length):
    if id_length[i, 0] == 0 or id_length[i, 0] != id_length[i, 1]:
        return False
    for j in range(id_length[i, 0]):
        if byte(id_text, id_at[i, 0] + j) != byte(id_text, id_at[i, 1] + j):
            return False
    return True


@_inlined
def _network_end(text, a, b):
    """The end of the third point of an IPv4 address, which may have a port; -1 for anything else."""
    points, digits, end, j = 0, 0, -1, a
    while j < b and byte(text, j) != _COLON:
        if byte(text, j) >= _ZERO and byte(text, j) <= _NINE:
            digits += 1
        elif byte(text, j) == _DOT and 0 < digits <= 3 and points < 3:  # at most three digits in each of four numbers
            points += 1
            digits = 0
            end = j + 1
        else:
            return -1
        j += 1
    if points < 3 or digits == 0 or digits > 3:
        return -1
    return end if j == b or _whole(text, j + 1, b) >= 0 else -1


@_compiled
def event_ids(text, at, length, head, head_at, head_length, position, offsets, data):
    """Write the id of each line into `data`: its head, then text[at : at + length], or its position if length is 0."""
    for i in range(len(at)):
        p, start = offsets[i], head_at[i]
        _copy(head, start, start + head_length[i], data, p)
        p += head_length[i]
        _copy(text, at[i], at[i] + length[i], data, p)
        if length[i] == 0:
            rest = position[i]
            for j in range(offsets[i + 1] - 1, p - 1, -1):
                data[j] = _ZERO + rest % 10
                rest //= 10
