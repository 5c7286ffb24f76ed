"""Which partition of a topic a key belongs into: Kafka's own murmur2, computed in one place and in columns.

The key of an event is `source`, a zero byte, `event_id`, in UTF-8; the partition is the one that Java's default
partitioner and librdkafka's `murmur2_random` choose for it. So a resend always meets the worker that holds the first copy,
whatever else changed about it.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kernels import compiled

_SEED, _M = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)
_SIGN = np.uint32(0x7FFFFFFF)
_WORD_BYTES = 4
_REST_MASK = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)  # of a word, the bytes that belong to the key
_BLOCK_ROWS = 16_384  # stays in the processor's cache
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def partitions_of(source: pa.ChunkedArray, event_id: pa.ChunkedArray, partitions: int) -> I64:
    """The partition of each event, of `partitions`. Strings, coded or not; no nulls."""
    return partitions_of_keys(
        pc.binary_join_element_wise(source.cast(pa.string()), event_id.cast(pa.string()), "\0"), partitions
    )


def partitions_of_keys(keys: pa.ChunkedArray | pa.Array, partitions: int) -> I64:
    """The partition of each key, of `partitions`. Strings or bytes, no nulls: a null key has no partition."""
    return (murmur2(keys) & _SIGN).astype(np.int64) % partitions


def partition_of_key(key: str, partitions: int) -> int:
    """The partition of one key."""
    return int(partitions_of_keys(pa.array([key], pa.string()), partitions)[0])


def murmur2(keys: pa.ChunkedArray | pa.Array) -> U32:
    """Kafka's murmur2 of each string."""
    if keys.null_count:
        raise ValueError(f"{keys.null_count} keys of {len(keys)} are null")
    keys = keys.cast(pa.binary())  # 32-bit offsets, whatever they came as
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
        # Copied, with a word of zeros behind the last key: its last bytes are read as a whole word, too.
        padded = np.zeros(ends[-1] - ends[0] + _WORD_BYTES, np.uint8)
        padded[:-_WORD_BYTES] = data[ends[0] : ends[-1]]
        hashes[first : first + _BLOCK_ROWS] = _hashed(padded, ends[:-1] - ends[0], np.diff(ends))
    return hashes


def _bytes_of(keys: pa.BinaryArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """The bytes that keys lie in, and where each begins and the last one ends."""
    _, offsets, data = keys.buffers()
    both = np.frombuffer(data or b"", np.uint8), np.frombuffer(offsets, np.int32)[keys.offset :][: len(keys) + 1]
    for each in both:
        each.flags.writeable = False  # the one kind of array that the loop is compiled for
    return both


def _hashed(data: npt.NDArray[np.uint8], starts: I64, lengths: I64) -> U32:
    """The keys' hashes. Longest first, so that those with a word left are always the first ones: one step a word for all."""
    words = np.ndarray(
        len(data) - _WORD_BYTES + 1, "<u4", data, strides=(1,)
    )  # at each byte the word that begins there
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
    torn = np.flatnonzero(rest)
    h[torn] ^= words[starts[torn] + whole[torn] * _WORD_BYTES] & _REST_MASK[rest[torn]]
    h[torn] *= _M
    h ^= h >> np.uint32(13)
    h *= _M
    h ^= h >> np.uint32(15)
    hashes = np.empty_like(h)
    hashes[order] = h
    return hashes
