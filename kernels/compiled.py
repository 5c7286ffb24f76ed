"""Loops that Numba compiles. To load it takes half a second: what is done once is done without where it is not loaded yet."""

import threading
from typing import Any

_loaded = threading.Event()


def is_loaded() -> bool:
    """Whether compiled loops are at hand, since many lines are read."""
    return _loaded.is_set()


def mark_loaded() -> None:
    """To be said by what has loaded one that is dear to load."""
    _loaded.set()


def compiled(**options: Any) -> Any:
    """A loop compiled, and kept for the next process; where nothing can be written it is compiled anew in each.

    Who holds an array is not counted (_nrt): they are borrowed, and to count at each call took as long as all else.
    """
    import numba  # noqa: PLC0415  see above

    options |= {"nogil": True, "_nrt": False}

    def made(loop: Any) -> Any:
        try:
            return numba.njit(cache=True, **options)(loop)
        except RuntimeError:
            return numba.njit(**options)(loop)

    return made
