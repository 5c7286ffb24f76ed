"""Sums over the 64-bit words of a chunk, one for each chunk of a text, as a compiled loop.

NH, the hash of UMAC (RFC 4418): each word is two 32-bit halves, a key is added to each, and the products are summed.
"""

import numpy as np

from kernels.compiled import compiled
from kernels.json_layout import WORD
from kernels.words import load

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@compiled()
def sums(text, keys, found):
    """Write the sum of each chunk of `text` into `found`; a chunk is one word for each of `keys`."""
    for chunk in range(len(found)):
        begin, total = chunk * len(keys) * WORD, np.uint64(0)
        for i in range(len(keys)):
            word, key = load(text, begin + i * WORD), keys[i]
            low, high = (word & _LOW) + (key & _LOW), (word >> _HALF) + (key >> _HALF)
            total += (low & _LOW) * (high & _LOW)
        found[chunk] = total
