"""The partition of a key: Kafka's murmur2, computed on columns.

The key of an event is `source`, a zero byte and `event_id`, in UTF-8. Its partition is the one that Java's default
partitioner and librdkafka's `murmur2_random` choose. A resend therefore always reaches the worker that has the first
copy.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kernels import compiled

_SEED, _M = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)
_SIGN = np.uint32(0x7FFFFFFF)
_WORD_BYTES = 4
_REST_MASK = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)  # the bytes of a last word that belong to the key
_BLOCK_ROWS = 16_384  # fits into the processor's cache
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def partitions_of(source: pa.ChunkedArray, event_id: pa.ChunkedArray, partitions: int) -> I64:
    """The partition of each event, from 0 to `partitions` - 1.

    The columns hold plain or dictionary strings, without nulls.
    """
    return partitions_of_keys(
        pc.binary_join_element_wise(source.cast(pa.string()), event_id.cast(pa.string()), "\0"), partitions
    )


def partitions_of_keys(keys: pa.ChunkedArray | pa.Array, partitions: int) -> I64:
    """The partition of each key, from 0 to `partitions` - 1. Keys are strings or bytes; a null key has no partition."""
    return (murmur2(keys) & _SIGN).astype(np.int64) % partitions


@lru_cache(65_536)
def partition_of_key(key: str, partitions: int) -> int:
    """The partition of one key. Keys recur, and the hash of a single one takes as long as that of hundreds."""
    return int(partitions_of_keys(pa.array([key], pa.string()), partitions)[0])


def murmur2(keys: pa.ChunkedArray | pa.Array) -> U32:
    """Kafka's murmur2 of each key. Raises ValueError if a key is null."""
    if keys.null_count:
        raise ValueError(f"{keys.null_count} keys of {len(keys)} are null")
    keys = keys.cast(pa.binary())  # with 32-bit offsets
    if isinstance(keys, pa.ChunkedArray):
        keys = keys.combine_chunks()
    hashes = np.empty(len(keys), np.uint32)
    if compiled.is_loaded():
        from kernels.murmur2 import murmur2 as loop  # noqa: PLC0415  see kernels/compiled.py

        loop(*_bytes_of(keys), hashes)
        return hashes
    for first in range(0, len(keys), _BLOCK_ROWS):
        data, offsets = _bytes_of(keys[first : first + _BLOCK_ROWS])
        ends = offsets.astype(np.int64)
        # A copy with a word of zeros after the last key, whose last bytes are also read as a whole word.
        padded = np.zeros(ends[-1] - ends[0] + _WORD_BYTES, np.uint8)
        padded[:-_WORD_BYTES] = data[ends[0] : ends[-1]]
        hashes[first : first + _BLOCK_ROWS] = _hashed(padded, ends[:-1] - ends[0], np.diff(ends))
    return hashes


def _bytes_of(keys: pa.BinaryArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """The data buffer of the keys, and their offsets: the start of each key, and the end of the last one."""
    _, offsets, data = keys.buffers()
    both = np.frombuffer(data or b"", np.uint8), np.frombuffer(offsets, np.int32)[keys.offset :][: len(keys) + 1]
    for each in both:
        each.flags.writeable = False  # the loop is compiled for read-only arrays only
    return both


def _hashed(data: npt.NDArray[np.uint8], starts: I64, lengths: I64) -> U32:
    """The hashes of the keys.

    Keys are sorted by length, longest first, so each step mixes one word of all remaining keys.
    """
    words = np.ndarray(len(data) - _WORD_BYTES + 1, "<u4", data, strides=(1,))  # the word that starts at each byte
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    whole, rest = lengths // _WORD_BYTES, lengths % _WORD_BYTES
    h = _SEED ^ lengths.astype(np.uint32)
    for i, rows in enumerate(np.searchsorted(-whole, -np.arange(1, whole[0] + 1), side="right")):
        k = words[starts[:rows] + i * _WORD_BYTES] * _M
        k ^= k >> np.uint32(24)
        k *= _M
        h[:rows] *= _M
        h[:rows] ^= k
    partial = np.flatnonzero(rest)
    h[partial] ^= words[starts[partial] + whole[partial] * _WORD_BYTES] & _REST_MASK[rest[partial]]
    h[partial] *= _M
    h ^= h >> np.uint32(13)
    h *= _M
    h ^= h >> np.uint32(15)
    hashes = np.empty_like(h)
    hashes[order] = h
    return hashes
