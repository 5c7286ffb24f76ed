"""Keeps freed memory in the process, as its next block needs the same amount, and seldom searches for garbage.

By default the C library and Arrow return large blocks to the system at once and get zeroed pages for the next block,
which takes a fifth of the decoding time (docs/decisions/017-memory.md).
"""

import ctypes
import gc
import os

_YOUNG_OBJECTS = 20_000  # made until the youngest are searched for garbage; Python's default is 700
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # parameters of mallopt(3)
_KEPT_BYTES_MAX = 256 << 20  # free bytes at the end of the heap before they are returned
_THREAD_HEAP_BYTES = 64 << 20  # the size of glibc's heaps of other threads; with this padding, free ones are kept
_OWN_BYTES_MIN = 32 << 20  # glibc's maximum; larger blocks are mapped from the system and returned to it


def keep_freed() -> None:
    """Keep freed memory in this process. Call it before PyArrow is imported, which then reads the variable.

    mallopt(3) is of glibc; other C libraries keep their ways.
    """
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES_MAX)
        mallopt(_TOP_PAD, _THREAD_HEAP_BYTES)
        mallopt(_MMAP_THRESHOLD, _OWN_BYTES_MIN)


def collect_rarely() -> None:
    """Leave alone what is loaded already, and search for garbage less often.

    Nearly all memory is freed without a search. Searching the records of a catalog repeatedly takes a quarter of the
    time to load them.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
