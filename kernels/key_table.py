"""A hash table of keys for kernels: keys of whole words, compared word by word; the hash only finds the place."""

import numpy as np

from kernels.compiled import compiled
from kernels.json_layout import ENTRIES, NO_ROOM, WORDS

_ONE = np.uint64(1)
_inlined = compiled(forceinline=True)


@_inlined
def entry_of(key, length, line, table):
    """The entry of key[:length], added if it is new; -1 if the table is full."""
    hashed = np.uint64(length)
    for j in range(length):
        hashed = (hashed ^ key[j]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    mask = np.uint64(len(table.slots) - 1)
    slot = hashed & mask
    while table.slots[slot] >= 0:
        e = table.slots[slot]
        start = table.at[e]
        if (
            table.hashes[e] == hashed
            and table.at[e + 1] - start == length
            and _are_same(table.words, start, key, length)
        ):
            return e
        slot = (slot + _ONE) & mask
    e, used = table.counts[ENTRIES], table.counts[WORDS]
    if e == len(table.hashes) or used + length > len(table.words):
        table.counts[NO_ROOM] += 1
        return -1
    for j in range(length):
        table.words[used + j] = key[j]
    table.counts[ENTRIES] += 1
    table.counts[WORDS] = used + length
    table.at[e + 1] = used + length
    table.hashes[e], table.first[e], table.slots[slot] = hashed, line, e
    return e


@_inlined
def _are_same(words, start, key, length):
    for j in range(length):
        if words[start + j] != key[j]:
            return False
    return True


@compiled()
def divide(entry, context, era, table, key):
    """Replace each entry by that of (entry, context, era) in `table`; -1 stays. `key` has room for two words."""
    for i in range(len(entry)):
        if entry[i] >= 0:
            key[0] = np.uint64(context[i]) << np.uint64(32) | np.uint64(entry[i])
            key[1] = np.uint64(era[i])
            entry[i] = entry_of(key, 2, i, table)
