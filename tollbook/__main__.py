"""The command `tollbook`: a light start. Loading the libraries takes most of a second, in which Ctrl-C is answered, too."""

import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.abc import MetaPathFinder
from typing import NoReturn

_AGAIN = 75  # tollbook.cli.errors.AGAIN, before it is loaded


class _WithoutPandas(MetaPathFinder):
    """No command uses pandas; PyArrow would load it, for half of the start, to see whether a list is one of its kinds."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


_WITHOUT_PANDAS = _WithoutPandas()


def command() -> NoReturn:
    """The whole process. It ends at once: a command leaves nothing open, and to take down all that was loaded takes up to a second."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # Closed: the next file that is opened would get its number, and what is written to it.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    run, close = _load()
    from tollbook.memory import keep_freed  # noqa: PLC0415 loaded with the rest

    keep_freed()
    gc.freeze()  # what was loaded stays; to look through it again and again takes half a second of a long command
    code = run(sys.argv[1:])
    close()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main(argv: list[str] | None = None) -> NoReturn:
    """The command within another process: raises SystemExit with its code."""
    run, _ = _load()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def _load() -> tuple[Callable[[list[str]], int], Callable[[], None]]:
    """What runs a command, and what lets go of all that one may have open; Ctrl-C is answered meanwhile."""
    before = {each: signal.signal(each, _stopped) for each in (signal.SIGINT, signal.SIGTERM)}
    if _WITHOUT_PANDAS not in sys.meta_path:
        sys.meta_path.insert(0, _WITHOUT_PANDAS)
    gc.disable()  # there is nothing to collect yet, and to look for it takes a tenth of the start
    from tollbook.cli.app import close, run  # noqa: PLC0415  # see above

    gc.enable()
    for each, handler in before.items():
        signal.signal(each, handler)
    return run, close


def _stopped(*_: object) -> NoReturn:
    sys.stderr.write("error: interrupted before anything was done; repeat the command\n")
    sys.stderr.flush()
    os._exit(_AGAIN)


if __name__ == "__main__":
    command()
