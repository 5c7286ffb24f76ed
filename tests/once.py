"""What is costly to make is made once for all processes of a run: the first that needs it makes it, the others wait."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def made_once(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder of the run, and whether it is made already. It counts as made when the block ends without an error."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each process has a folder of its own in there
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = base / f"{name}.made"
        if not done.exists():
            folder = factory.mktemp(name)
            yield folder, False
            done.write_text(str(folder))
        else:
            yield Path(done.read_text()), True
