"""Numba as the compiler of kernels. Loading it takes half a second, so that small jobs run without it."""

import threading
from typing import Any

_loaded = threading.Event()


def is_loaded() -> bool:
    """Whether a kernel has been loaded, because the process reads many lines."""
    return _loaded.is_set()


def mark_loaded() -> None:
    """Call after loading a kernel that takes long to load."""
    _loaded.set()


def compiled(**options: Any) -> Any:
    """A decorator that compiles a loop and caches the result; a process that cannot write the cache compiles again.

    Kernels borrow arrays and do not count references to them (`_nrt=False`): counting at each call took as long as the
    loop.
    """
    import numba  # noqa: PLC0415  see above

    options |= {"nogil": True, "_nrt": False}

    def made(loop: Any) -> Any:
        try:
            return numba.njit(cache=True, **options)(loop)
        except RuntimeError:
            return numba.njit(**options)(loop)

    return made
