"""Memory for large texts, one after another: used again as soon as nothing refers to the text that was in it.

glibc keeps no block of more than 32 MiB (docs/decisions/017-memory.md): each text would lie in fresh pages, cleared and mapped one by one.
"""

import weakref

import numpy as np
import numpy.typing as npt


class Buffers:
    """Of one size. As many are held as were in use at once; they go with their last user."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[npt.NDArray[np.uint8]] = []

    def lend(self) -> memoryview:
        """One to write to. It returns by itself when neither it, nor a part of it, nor an array over it is left."""
        buffer = self._free.pop() if self._free else np.empty(self.size, np.uint8)
        lent = buffer[:]
        weakref.finalize(lent, self._free.append, buffer).atexit = False
        return lent.data
