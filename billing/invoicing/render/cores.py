"""Work on many documents by all cores: Typst and the disk let other threads run meanwhile."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_AHEAD = 4  # documents for each core that are begun and not taken yet, which bounds memory
Given = TypeVar("Given")
Made = TypeVar("Made")


def on_all_cores(make: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """What `make` gives for each item, in the order of the items. The first failure is raised, and no more is begun."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores, thread_name_prefix="render") as pool:
        begun: deque[Future[Made]] = deque()
        try:
            for item in given:
                begun.append(pool.submit(make, item))
                if len(begun) > _AHEAD * cores:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
