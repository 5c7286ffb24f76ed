"""Large buffers that are reused as soon as nothing refers to the previous content.

glibc keeps no free block of more than 32 MiB (docs/decisions/017-memory.md): without reuse, every text would need fresh
pages.
"""

import weakref

import numpy as np
import numpy.typing as npt


class Buffers:
    """A pool of buffers of one size. It grows to the largest number in use at once, and is freed with its last user."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[npt.NDArray[np.uint8]] = []

    def acquire(self) -> memoryview:
        """A buffer to write to. It returns to the pool when no view, slice or array over it is left."""
        buffer = self._free.pop() if self._free else np.empty(self.size, np.uint8)
        view = buffer[:]
        weakref.finalize(view, self._free.append, buffer).atexit = False
        return view.data
