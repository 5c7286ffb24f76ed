"""Kafka's murmur2 as a kernel. schemas/kafka/partitions.py has the NumPy version, for processes without kernels."""

import numpy as np

from kernels.compiled import compiled
from kernels.words import byte, load

_WORD = 8
_SEED, _M, _LOW = np.uint64(0x9747B28C), np.uint64(0x5BD1E995), np.uint64(0xFFFFFFFF)
_BYTE_BITS, _HALF_BITS = np.uint64(8), np.uint64(32)


@compiled(forceinline=True)
def _mixed(h, k):
    k = k * _M & _LOW
    k = (k ^ k >> np.uint64(24)) * _M & _LOW
    return h * _M & _LOW ^ k


@compiled(forceinline=True)
def _joined(data, at, end):
    """data[at:end] as a little-endian number."""
    k = np.uint64(0)
    for j in range(end - 1, at - 1, -1):
        k = k << _BYTE_BITS | np.uint64(byte(data, j))
    return k


@compiled()
def murmur2(data, offsets, hashes):
    """Write the hash of each key data[offsets[i] : offsets[i + 1]] into `hashes`. Only the lower 32 bits count."""
    for i in range(len(hashes)):
        at, end = np.int64(offsets[i]), np.int64(offsets[i + 1])
        h = _SEED ^ np.uint64(end - at)
        while at + _WORD <= end:
            word = load(data, at)
            h = _mixed(_mixed(h, word & _LOW), word >> _HALF_BITS)
            at += _WORD
        if at + 4 <= end:
            h = _mixed(h, _joined(data, at, at + 4))
            at += 4
        if at < end:
            h = (h ^ _joined(data, at, end)) * _M & _LOW
        h = (h ^ h >> np.uint64(13)) * _M & _LOW
        hashes[i] = h ^ h >> np.uint64(15)
