"""What is costly to make is made once for all processes of a run: the first that needs it makes it, the others wait."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@contextmanager
def made_once(config: pytest.Config, factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder of the run, and whether it is made already. It counts as made when the block ends without an error."""
    base = _folder_of_the_run(config, factory)
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = base / f"{name}.made"
        if not done.exists():
            folder = factory.mktemp(name)
            yield folder, False
            done.write_text(str(folder))
        else:
            yield Path(done.read_text()), True


@contextmanager
def started_once(
    config: pytest.Config, factory: pytest.TempPathFactory, name: str, start: Callable[[], AbstractContextManager[str]]
) -> Iterator[str]:
    """The address of a server of the run. The process that started it ends it when no other uses it any more."""
    base = _folder_of_the_run(config, factory)
    known = base / f"{name}.address"
    with (base / f"{name}.lock").open("w") as turn, (base / f"{name}.users").open("w") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if known.exists():
            address = known.read_text()
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield address
            return
        with start() as address:
            known.write_text(address)
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield address
            fcntl.flock(turn, fcntl.LOCK_EX)
            known.unlink()  # whoever comes from now on starts another
            fcntl.flock(turn, fcntl.LOCK_UN)
            fcntl.flock(users, fcntl.LOCK_UN)
            fcntl.flock(users, fcntl.LOCK_EX)


def _folder_of_the_run(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if hasattr(config, "workerinput") else base  # each process has a folder of its own in there
