"""Newlines as a compiled loop over the bytes of a block."""

import numpy as np

from kernels.compiled import compiled
from kernels.json_layout import WORD
from kernels.words import byte, load, zeros_below

_RUN_BYTES = 64  # tested together
_NEWLINE = 10
_ONE = np.uint64(1)
# The lowest and the highest bit of each byte of a word, and two characters in each byte.
_LOW, _HIGH, _DELETES, _NEWLINES = (np.uint64(each * 0x0101010101010101) for each in (1, 0x80, 0x7F, _NEWLINE))


@compiled()
def newlines(text, found):
    """Write the offsets of all newlines into `found`; return how many there are, and whether all bytes are ASCII."""
    n, i, high = 0, 0, np.uint64(0)
    while i + _RUN_BYTES <= len(text):
        # Sets the high bit of each newline, and perhaps of bytes after one, since the subtraction borrows upwards.
        there = np.uint64(0)
        for j in range(_RUN_BYTES // WORD):
            word = load(text, i + j * WORD)
            high |= word
            other = word ^ _NEWLINES
            there |= (other - _LOW) & ~other
        if there & _HIGH != 0:
            for at in range(i, i + _RUN_BYTES, WORD):
                other = load(text, at) ^ _NEWLINES
                here = ~((other & _DELETES) + _DELETES | other | _DELETES)  # exactly the newlines
                while here != 0:
                    found[n] = at + (zeros_below(here) >> 3)
                    n += 1
                    here &= here - _ONE
        i += _RUN_BYTES
    for j in range(i, len(text)):
        high |= np.uint64(byte(text, j))
        if byte(text, j) == _NEWLINE:
            found[n] = j
            n += 1
    return n, high & _HIGH == 0
