"""The loops over bytes of ingest/scan.py, compiled; the first use on a machine takes some seconds, and is kept.

They never look beyond a line: it ends with a newline, which ends everything else, too. A position of -1 means that a line is
unusual there. Nothing here raises, or makes an array.
"""

from typing import Any

import numba
import numpy as np

from ingest.scan import ENTRIES, KEY_BYTES_MAX, NO_ROOM, OBJECTS_DEEP_MAX, ORDER_MAX, WORDS
from ingest.shape import ADDRESS, ALIKE, EPOCH, ID, ISO, LATENCY_MS, LATENCY_NS, REQUEST_BYTES, RESPONSE_BYTES, UNREAD

_LINE_BYTES_MAX = 65_535
# What is put into a key beside the bytes of a member: its head, and what comes behind the last one.
_KEY_ENDS_BYTES = 32
_ID_BYTES_MAX = 128
_DIGITS_MAX = 15
_SECONDS_DIGITS_MAX = 11
_LATENCY_DIGITS_MAX = 9
_NUMBER_BYTES_MAX = 32
_DEPTH_MAX = 60

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _DOT, _ZERO, _NINE, _E, _SMALL_E = 34, 92, 44, 58, 45, 46, 48, 57, 69, 101
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _SPACE, _TAB, _NEWLINE, _RETURN = 123, 125, 91, 93, 32, 9, 10, 13
# Lengths in a key that are none: what varies and is plain, an object whose members come next, the flag of an address cut short.
_PLAIN, _OBJECT, _NETWORK = 0xFFFF, 0xFFFE, 0x8000
# No member: the line begins with one that is not read. Some formats know envelopes by their first.
_BEGINS_OTHERWISE = 0xFFFE
# In what was seen of a line: the numbers read, a bit each from 0; the numbers met, from 8; the ids met, from 16.
_READ, _MET, _MET_ID = 1, 1 << 8, 1 << 16
_NUMBERS_READ = 15
_NUMBER = np.zeros(LATENCY_NS + 1, np.int64)  # by role, its place among ingest.scan.NUMBERS
_NUMBER[[EPOCH, ISO, REQUEST_BYTES, RESPONSE_BYTES, LATENCY_MS, LATENCY_NS]] = 0, 0, 1, 2, 3, 3


def _table(characters: bytes) -> np.ndarray:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


# What ends a run of plain characters in a text: its quote, a backslash, and control characters, which may not stand in one.
_ENDS = _table(bytes(range(_SPACE)) + b'"\\')
_ESCAPED = _table(b'"\\/bfnrt')  # not u: not every number is a character
_PLAIN_ID = _table(bytes(range(_SPACE + 1, 127))) & ~_table(b"\\")
_TRUE, _FALSE, _NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_ONE = np.uint64(1)


def _kept(**options: Any) -> Any:
    """Compiled, and kept for the next process; where nothing can be written it is compiled anew in each.

    Who holds an array is not counted (_nrt): here they are borrowed, and to count at each call took as long as all else.
    """
    options |= {"nogil": True, "_nrt": False}

    def compiled(loop: Any) -> Any:
        try:
            return numba.njit(cache=True, **options)(loop)
        except RuntimeError:
            return numba.njit(**options)(loop)

    return compiled


_compiled = _kept()
_inlined = _kept(forceinline=True)


@_compiled
def find(
    text, offsets, usual, spans, context, eras, first, tags, names, name_at, object_of, role, place,
    slots, hashes, at, words, plain, brought, counts, entry, numbers, id_at, id_length, key, piece, above, order,
):  # fmt: skip
    """ingest.scan.find, with all arrays of its tuples, in their order; fills those of Known and Found, and uses those of Room."""
    for i in range(len(offsets) - 1):
        begin, end = offsets[i], offsets[i + 1]
        if not usual[i] or end - begin > _LINE_BYTES_MAX or text[begin] != _OPEN or text[end - 1] != _NEWLINE:
            continue
        used, seen = _line(
            text, begin, end, i, piece, above, order, first, tags, names, name_at, object_of, role, place, numbers, id_at, id_length
        )  # fmt: skip
        time = numbers[i, 0]
        if used < 0 or seen & _READ == 0 or time < spans[i, 0] or time >= spans[i, 1]:
            continue
        # No member: here they end. Of two ids that are the same nobody can say which one is the event's.
        used = _put(piece, used, _PLAIN, _OBJECT if _has_one_id_twice(text, i, id_at, id_length) else _PLAIN)
        used = _put(piece, used, context[i] & 0xFFFF, context[i] >> 16)
        era = _era(eras, time)
        used = _put(piece, used, era & 0xFFFF, era >> 16)
        while used % 8:
            piece[used] = 0
            used += 1
        entry[i] = _entry(key, used // 8, seen & _NUMBERS_READ, i, slots, hashes, at, words, plain, brought, counts)


@_inlined
def _era(eras, time):
    """How many of them have begun by a time."""
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
    text, begin, end, i, piece, above, order, first, tags, names, name_at, object_of, role, place, numbers, id_at, id_length
):  # fmt: skip
    """How long the line's key is so far, or -1; and what was seen of it."""
    nth, used, seen, inside, depth = 0, 0, 0, 0, 0
    p = _blank_end(text, begin + 1)
    empty = text[p] == _CLOSE
    while True:
        if not empty:
            q = _name_end(text, p)
            if q < 0:
                return -1, seen
            likely = order[nth % ORDER_MAX]
            m = _member(text, p + 1, q - 1, likely, first[inside], first[inside + 1], tags, names, name_at)
            order[nth % ORDER_MAX] = m
            if nth == 0 and m < 0:
                used = _put(piece, used, _BEGINS_OTHERWISE, _PLAIN)
            nth += 1
            p = _blank_end(text, q)
            if text[p] != _COLON:
                return -1, seen
            p = _blank_end(text, p + 1)
            if m >= 0 and object_of[m] >= 0 and text[p] == _OPEN:
                if depth == OBJECTS_DEEP_MAX or used + _KEY_ENDS_BYTES > KEY_BYTES_MAX:
                    return -1, seen
                used = _put(piece, used, m, _OBJECT)
                above[depth] = inside
                depth += 1
                inside = object_of[m]
                p = _blank_end(text, p + 1)
                empty = text[p] == _CLOSE
                continue
            q = _value_end(text, p)
            if q < 0:
                return -1, seen
            if m >= 0 and role[m] != UNREAD:
                used, seen = _value(text, p, q, i, m, role[m], place[m], piece, used, seen, numbers, id_at, id_length)
                if used < 0:
                    return -1, seen
            p = q
        empty = False
        p = _blank_end(text, p)
        while text[p] == _CLOSE and depth > 0:
            depth -= 1
            inside = above[depth]
            p = _blank_end(text, p + 1)
        if text[p] == _CLOSE:
            return (used if _blank_end(text, p + 1) == end - 1 else -1), seen
        if text[p] != _COMMA:
            return -1, seen
        p = _blank_end(text, p + 1)


@_inlined
def _value(text, p, q, i, m, role, place, piece, used, seen, numbers, id_at, id_length):
    """A member's value [p, q) goes into the key, or what is plain of it to where it belongs."""
    is_text = text[p] == _QUOTE
    a, b = (p + 1, q - 1) if is_text else (p, q)  # what is inside of quotes
    start, stop, length = p, q, q - p  # what goes into the key
    if role == ADDRESS:
        end = _network_end(text, a, b)
        if end >= 0:
            start, stop, length = a, end, _NETWORK + end - a
    elif role == ID:
        if seen & _MET_ID << place:
            return -1, seen
        seen |= _MET_ID << place
        if is_text and _is_plain_id(text, a, b):
            id_at[i, place], id_length[i, place] = a, b - a
            start, stop, length = p, p, _PLAIN
    elif role != ALIKE:
        number = _NUMBER[role]
        if seen & _MET << number:
            return -1, seen
        seen |= _MET << number
        value = _number(text, a, b, role)
        if value >= 0:
            seen |= _READ << number
            numbers[i, number] = value
            start, stop, length = p, p, _PLAIN
    if used + _KEY_ENDS_BYTES + stop - start > KEY_BYTES_MAX:
        return -1, seen
    used = _put(piece, used, m, length)
    for j in range(np.uint64(stop - start)):
        piece[np.uint64(used) + j] = text[np.uint64(start) + j]
    return used + stop - start, seen


@_inlined
def _put(piece, used, member, length):
    """The head of a piece of a key: which member, and how long, or what else."""
    piece[used], piece[used + 1], piece[used + 2], piece[used + 3] = (
        member & 255,
        member >> 8,
        length & 255,
        length >> 8,
    )
    return used + 4


@_inlined
def _entry(key, length, read, line, slots, hashes, at, words, plain, brought, counts):
    """The entry of a key; a new one if there is none, -1 if there is no room for it."""
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
def _member(text, start, stop, likely, low, high, tags, names, name_at):
    """Which of the members [low, high) has this name; -1: none. `likely` is looked at first."""
    tag = (stop - start) << 16 | np.int64(text[start]) << 8 | np.int64(text[stop - 1])  # an empty name's are its quotes
    if low <= likely < high and tags[likely] == tag and _is_named(text, start, stop, likely, names, name_at):
        return likely
    for m in range(low, high):
        if tags[m] == tag and _is_named(text, start, stop, m, names, name_at):
            return m
    return -1


@_inlined
def _is_named(text, start, stop, m, names, name_at):
    at = np.uint64(name_at[m])
    for j in range(np.uint64(stop - start)):
        if text[np.uint64(start) + j] != names[at + j]:
            return False
    return True


@_inlined
def _blank_end(text, p):
    while text[p] == _SPACE or text[p] == _TAB or text[p] == _RETURN:
        p += 1
    return p


@_inlined
def _plain_end(text, p):
    """The next character that a text does not simply hold. Unsigned, since a negative index would be looked for each time."""
    q = np.uint64(p)
    while not _ENDS[text[q]]:
        q += _ONE
    return np.int64(q)


@_inlined
def _name_end(text, p):
    """Behind a name; -1 where it is none, or must be decoded to be known."""
    if text[p] != _QUOTE:
        return -1
    p = _plain_end(text, p + 1)
    return p + 1 if text[p] == _QUOTE else -1


@_inlined
def _text_end(text, p):
    """Behind a text; -1 where it is no JSON, or has an escape by number."""
    p = _plain_end(text, p + 1)
    while text[p] == _BACKSLASH:
        if not _ESCAPED[text[p + 1]]:
            return -1
        p = _plain_end(text, p + 2)
    return p + 1 if text[p] == _QUOTE else -1


@_inlined
def _digits_end(text, p):
    while text[p] >= _ZERO and text[p] <= _NINE:
        p += 1
    return p


@_inlined
def _number_end(text, p):
    """Behind a number; -1 where it is none, or one with an exponent or very long: such may be too large to be read."""
    start = p
    if text[p] == _MINUS:
        p += 1
    q = _digits_end(text, p)
    if q == p or (text[p] == _ZERO and q > p + 1):
        return -1
    if text[q] == _DOT:
        p = q + 1
        q = _digits_end(text, p)
        if q == p:
            return -1
    return -1 if q - start > _NUMBER_BYTES_MAX or text[q] == _E or text[q] == _SMALL_E else q


@_inlined
def _word_end(text, p, word):
    for c in word:
        if text[p] != c:
            return -1
        p += 1
    return p


@_inlined
def _scalar_end(text, p):
    c = text[p]
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
    """Behind a value of any kind; -1 where it is no JSON, or very deep."""
    depth, lists = 0, 0  # of what is open the innermost is the lowest bit; 1: a list
    while True:
        if text[p] == _OPEN or text[p] == _OPEN_LIST:
            is_list = text[p] == _OPEN_LIST
            if depth == _DEPTH_MAX:
                return -1
            depth += 1
            lists = lists << 1 | (1 if is_list else 0)
            p = _blank_end(text, p + 1)
            if text[p] != (_CLOSE_LIST if is_list else _CLOSE):
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
            if text[p] == _COMMA:
                p = _blank_end(text, p + 1)
                p = p if lists & 1 else _named_value(text, p)
                if p < 0:
                    return -1
                break
            if text[p] != (_CLOSE_LIST if lists & 1 else _CLOSE):
                return -1
            p += 1
            depth -= 1
            lists >>= 1
        if depth == 0:
            return p


@_inlined
def _named_value(text, p):
    """The value behind a name."""
    if text[p] != _QUOTE:
        return -1
    p = _text_end(text, p)
    if p < 0:
        return -1
    p = _blank_end(text, p)
    return _blank_end(text, p + 1) if text[p] == _COLON else -1


@_inlined
def _whole(text, a, b):
    """Digits alone, few enough for every product with them; -1 otherwise."""
    if b - a < 1 or b - a > _DIGITS_MAX:
        return -1
    value = 0
    for j in range(a, b):
        if text[j] < _ZERO or text[j] > _NINE:
            return -1
        value = value * 10 + np.int64(text[j] - _ZERO)
    return value


@_inlined
def _number(text, a, b, role):
    """What the statement makes of a plain number or time; -1 where it is none."""
    if role == ISO:
        return _iso_us(text, a, b)
    value = _whole(text, a, b)
    if role == EPOCH:
        return value * (1_000_000 if b - a <= _SECONDS_DIGITS_MAX else 1000) if value >= 0 else -1
    if role == LATENCY_MS:
        return value * 1000 if b - a <= _LATENCY_DIGITS_MAX and value >= 0 else -1
    if role == LATENCY_NS:
        return (value + 500) // 1000 if value >= 0 else -1
    return value


@_inlined
def _iso_us(text, a, b):
    """Microseconds since 1970 of YYYY-MM-DDTHH:MM:SSZ, or with up to nine digits of a second; -1 for any other form."""
    if b - a < 20 or b - a > 30 or text[b - 1] != 90 or text[a + 4] != _MINUS or text[a + 7] != _MINUS:  # 90: Z
        return -1
    if text[a + 10] != 84 or text[a + 13] != _COLON or text[a + 16] != _COLON:  # 84: T
        return -1
    year, month, day = _whole(text, a, a + 4), _whole(text, a + 5, a + 7), _whole(text, a + 8, a + 10)
    hour, minute, second = _whole(text, a + 11, a + 13), _whole(text, a + 14, a + 16), _whole(text, a + 17, a + 19)
    if year < 1 or not 1 <= month <= 12 or not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return -1
    leap_day = 1 if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 0
    if not 1 <= day <= _MONTH_DAYS[month] + leap_day:
        return -1
    past = year - 1 if month <= 2 else year  # years begin in March here: their last day is the leap day
    days = past * 365 + past // 4 - past // 100 + past // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469
    micros = 0
    if b - a > 20:  # with a fraction
        digits = b - a - 21
        if text[a + 19] != _DOT or digits < 1:
            return -1
        micros = _whole(text, a + 20, b - 1)
        if micros < 0:
            return -1
        for _ in range(digits, 6):
            micros *= 10
        for _ in range(6, digits):
            micros //= 10
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros


@_inlined
def _is_plain_id(text, a, b):
    if b - a < 1 or b - a > _ID_BYTES_MAX or (b - a == 1 and text[a] == _MINUS):
        return False
    for j in range(np.uint64(a), np.uint64(b)):
        if not _PLAIN_ID[text[j]]:
            return False
    return True


@_inlined
def _has_one_id_twice(text, i, id_at, id_length):
    if id_length[i, 0] == 0 or id_length[i, 0] != id_length[i, 1]:
        return False
    for j in range(id_length[i, 0]):
        if text[id_at[i, 0] + j] != text[id_at[i, 1] + j]:
            return False
    return True


@_inlined
def _network_end(text, a, b):
    """Behind the third point of an IPv4 address, which a port may follow; -1 where it is none."""
    points, digits, end, j = 0, 0, -1, a
    while j < b and text[j] != _COLON:
        if text[j] >= _ZERO and text[j] <= _NINE:
            digits += 1
        elif text[j] == _DOT and 0 < digits <= 3 and points < 3:  # an address of four numbers
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
def ids(text, at, length, head, position, offsets, data):
    """ingest.scan.ids, into `data` at `offsets`."""
    for i in range(len(at)):
        p = offsets[i]
        for j in range(length[i]):
            data[p + j] = text[at[i] + j]
        if length[i] == 0:
            for j in range(len(head)):
                data[p + j] = head[j]
            rest = position[i]
            for j in range(offsets[i + 1] - 1, p + len(head) - 1, -1):
                data[j] = _ZERO + rest % 10
                rest //= 10
