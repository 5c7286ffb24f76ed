"""JSON text for kernels: where names, strings, numbers and values end.

A position of -1 means that the text is unusual there. Nothing reads past the current line: its newline ends every
token. Texts are compared eight bytes at a time (kernels/words.py) where they are long enough.
"""

import numpy as np

from kernels.compiled import compiled
from kernels.json_layout import ID_BYTES_MAX, NUMBER_BYTES_MAX, WORD
from kernels.words import byte, load, zeros_below

QUOTE, BACKSLASH, COMMA, COLON, MINUS, DOT, ZERO, NINE = b'"\\,:-.09'
OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = b"{}[]"
NEWLINE = 10
_SPACE, _TAB, _RETURN, _SLASH, _BIG_A, _BIG_Z, _BIG_E, _SMALL_E = b" \t\r/AZEe"
_JSON_NUMBER_BYTES_MAX = 32
_DOUBLE_DIGITS = 15  # so many digits survive a double
_DEPTH_MAX = 60
_NETWORK_DIGITS_MAX, _NETWORK_POINTS = 3, 3


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
_STRING_VALUE, _INT_VALUE, _DOUBLE_VALUE = (
    np.frombuffer(word, np.uint8) for word in (b'"stringValue"', b'"intValue"', b'"doubleValue"')
)
_ONE = np.uint64(1)
# A word with the lowest bit of each byte set, the highest bit, and some character in each byte.
_LOW, _HIGH, _SPACES, _QUOTES, _BACKSLASHES, _DELETES = (
    np.uint64(each * 0x0101010101010101) for each in (1, 0x80, _SPACE, QUOTE, BACKSLASH, 0x7F)
)

inlined = compiled(forceinline=True)


@inlined
def same_end(text, p, start, stop):
    """The end of bytes that equal [start, stop); -1 where they differ."""
    while start + WORD <= stop:
        if load(text, p) != load(text, start):
            return -1
        p += WORD
        start += WORD
    if start < stop and (load(text, p) ^ load(text, start)) << np.uint64(8 * (WORD - stop + start)) != 0:
        return -1
    return p + stop - start


@inlined
def brackets(text, begin, end):
    """How many objects and lists begin in [begin, end), in strings, too."""
    count = 0
    for j in range(np.uint64(begin), np.uint64(end)):
        count += 1 if byte(text, j) == OPEN or byte(text, j) == OPEN_LIST else 0
    return count


@inlined
def opening(text, p, is_list):
    """The position of an object's brace, or -1; and whether the object is the first of a list."""
    if is_list:
        return (p if byte(text, p) == OPEN_LIST else -1), False
    if byte(text, p) != OPEN_LIST:
        return (p if byte(text, p) == OPEN else -1), False
    q = blank_end(text, p + 1)
    return (q if byte(text, q) == OPEN else -1), True


@inlined
def word_behind(text, p, before, word):
    """The end of a character and a word after it; -1 where the text has something else."""
    if byte(text, p) != before:
        return -1
    q = _word_end(text, blank_end(text, p + 1), word)
    return blank_end(text, q) if q >= 0 else -1


@inlined
def scalar_in(text, p, q):
    """The scalar in an object [p, q) with one member that is named by its type; an empty range for anything else."""
    if byte(text, p) != OPEN:
        return p, p
    start = blank_end(text, p + 1)
    end = _word_end(text, start, _STRING_VALUE)
    if end < 0:
        end = _word_end(text, start, _INT_VALUE)
    if end < 0:
        end = _word_end(text, start, _DOUBLE_VALUE)
    if end < 0:
        return p, p
    s = blank_end(text, blank_end(text, end) + 1)  # after its colon: the text is JSON up to q
    e = scalar_end(text, s)
    return (s, e) if e >= 0 and blank_end(text, e) == q - 1 else (p, p)


@inlined
def blank_end(text, p):
    """The end of white space, which may be empty."""
    while byte(text, p) == _SPACE or byte(text, p) == _TAB or byte(text, p) == _RETURN:
        p += 1
    return p


@inlined
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


@inlined
def name_end(text, p):
    """The end of a name; -1 where there is none, or one with an escape."""
    if byte(text, p) != QUOTE:
        return -1
    p = _plain_end(text, p + 1)
    return p + 1 if byte(text, p) == QUOTE else -1


@inlined
def _text_end(text, p):
    """The end of a string; -1 where it is not JSON, or has an escape by number."""
    p = _plain_end(text, p + 1)
    while byte(text, p) == BACKSLASH:
        if not _ESCAPED[byte(text, p + 1)]:
            return -1
        p = _plain_end(text, p + 2)
    return p + 1 if byte(text, p) == QUOTE else -1


@inlined
def _digits_end(text, p):
    while byte(text, p) >= ZERO and byte(text, p) <= NINE:
        p += 1
    return p


@inlined
def _number_end(text, p):
    """The end of a number; -1 where there is none, or one that may be out of range (an exponent, very many digits)."""
    start = p
    if byte(text, p) == MINUS:
        p += 1
    q = _digits_end(text, p)
    if q == p or (byte(text, p) == ZERO and q > p + 1):
        return -1
    if byte(text, q) == DOT:
        p = q + 1
        q = _digits_end(text, p)
        if q == p:
            return -1
    has_exponent = byte(text, q) == _BIG_E or byte(text, q) == _SMALL_E
    return -1 if q - start > _JSON_NUMBER_BYTES_MAX or has_exponent else q


@inlined
def _word_end(text, p, word):
    for c in word:
        if byte(text, p) != c:
            return -1
        p += 1
    return p


@inlined
def scalar_end(text, p):
    """The end of a string, a number, true, false or null."""
    c = byte(text, p)
    if c == QUOTE:
        return _text_end(text, p)
    if c == _TRUE[0]:
        return _word_end(text, p, _TRUE)
    if c == _FALSE[0]:
        return _word_end(text, p, _FALSE)
    if c == _NULL[0]:
        return _word_end(text, p, _NULL)
    return _number_end(text, p)


@inlined
def value_end(text, p):
    """The end of a value of any kind; -1 where it is not JSON, or nested too deep."""
    depth, lists = 0, 0  # one bit for each open bracket, the innermost lowest; 1: a list
    while True:
        if byte(text, p) == OPEN or byte(text, p) == OPEN_LIST:
            is_list = byte(text, p) == OPEN_LIST
            if depth == _DEPTH_MAX:
                return -1
            depth += 1
            lists = lists << 1 | (1 if is_list else 0)
            p = blank_end(text, p + 1)
            if byte(text, p) != (CLOSE_LIST if is_list else CLOSE):
                p = p if is_list else _named_value(text, p)
                if p < 0:
                    return -1
                continue
        else:
            p = scalar_end(text, p)
            if p < 0:
                return -1
        while depth > 0:
            p = blank_end(text, p)
            if byte(text, p) == COMMA:
                p = blank_end(text, p + 1)
                p = p if lists & 1 else _named_value(text, p)
                if p < 0:
                    return -1
                break
            if byte(text, p) != (CLOSE_LIST if lists & 1 else CLOSE):
                return -1
            p += 1
            depth -= 1
            lists >>= 1
        if depth == 0:
            return p


@inlined
def _named_value(text, p):
    """The position of the value after a name and its colon."""
    if byte(text, p) != QUOTE:
        return -1
    p = _text_end(text, p)
    if p < 0:
        return -1
    p = blank_end(text, p)
    return blank_end(text, p + 1) if byte(text, p) == COLON else -1


@inlined
def is_plain_number(text, a, b, is_text, strict):
    """Whether [a, b) begins with a digit, is not all zeros, and has the same bytes for whoever reads the line.

    What it is worth is for SQL to say. Zeros tell nothing about their unit. A usage event tells texts from numbers, so
    that a number of more digits than a double keeps cannot be given to SQL as a text.
    """
    if b - a < 1 or b - a > NUMBER_BYTES_MAX or byte(text, a) < ZERO or byte(text, a) > NINE:
        return False
    if strict and not is_text and b - a > _DOUBLE_DIGITS:
        return False
    has_more = False
    for j in range(a, b):
        c = byte(text, j)
        if c == BACKSLASH or c <= _SPACE - 1 or c >= 0x7F:
            return False
        has_more |= c not in (ZERO, DOT)
    return has_more


@inlined
def is_plain_id(text, a, b):
    """Whether [a, b) is printable ASCII without spaces and escapes, and no '-'."""
    if b - a < 1 or b - a > ID_BYTES_MAX or (b - a == 1 and byte(text, a) == MINUS):
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


@inlined
def method_end(text, a, b):
    """The end of the method of a request line whose target is a path; -1 for others, or a line with an escape."""
    j = a
    while byte(text, j) >= _BIG_A and byte(text, j) <= _BIG_Z:
        j += 1
    is_path = j > a and j + 1 < b and byte(text, j) == _SPACE and byte(text, j + 1) == _SLASH
    return j if is_path and _plain_end(text, j) == b else -1


@inlined
def network_end(text, a, b):
    """The end of the third point of an IPv4 address, which may have a port; -1 for anything else."""
    points, digits, end, j = 0, 0, -1, a
    while j < b and byte(text, j) != COLON:
        if byte(text, j) >= ZERO and byte(text, j) <= NINE:
            digits += 1
        elif byte(text, j) == DOT and 0 < digits <= _NETWORK_DIGITS_MAX and points < _NETWORK_POINTS:
            points += 1
            digits = 0
            end = j + 1
        else:
            return -1
        j += 1
    if points < _NETWORK_POINTS or digits == 0 or digits > _NETWORK_DIGITS_MAX:
        return -1
    is_whole = j == b or (b > j + 1 and _digits_end(text, j + 1) == b)
    return end if is_whole else -1
