"""Memory that was freed stays with the process: its next block needs as much.

By default the C library and Arrow give large blocks back to the system at once, and are given cleared ones for the next: a page at a
time, in a fifth of all time that decoding takes (docs/decisions/017-memory.md).
"""

import ctypes

import pyarrow as pa

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # the names of mallopt(3) for its first argument
_KEPT_BYTES_MAX = 256 << 20  # as much lies free at the end of the heap before it is given back
_THREAD_HEAP_BYTES = 64 << 20  # glibc's heaps of other threads: a free one is kept where so much is left at an end
_OWN_BYTES_MIN = 32 << 20  # the most that glibc takes; larger blocks come from the system, and return there


def keep_freed() -> None:
    """For this process. Where the C library is not glibc it keeps its ways."""
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES_MAX)
        mallopt(_TOP_PAD, _THREAD_HEAP_BYTES)
        mallopt(_MMAP_THRESHOLD, _OWN_BYTES_MIN)
