"""The entry point of the command `tollbook`.

It handles Ctrl-C while the libraries load, which takes up to half a second.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.abc import MetaPathFinder
from typing import NoReturn

from tollbook.cli.signals import loading
from tollbook.memory import collect_rarely, keep_freed


class _WithoutPandas(MetaPathFinder):
    """Hides pandas, which no command uses.

    PyArrow would import it to check the type of lists, for half of the start time.
    """

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


_WITHOUT_PANDAS = _WithoutPandas()


def command() -> NoReturn:
    """Run the command as the whole process.

    It exits at once, as Python's teardown of the libraries takes up to a second.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # A closed stream's number would go to the next opened file, which would then receive the output.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    keep_freed()
    run, close = _load()
    code = run(sys.argv[1:], loaded=collect_rarely)
    close()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command within another process. Raises SystemExit with the exit code."""
    run, _ = _load()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def _load() -> tuple[Callable[..., int], Callable[[], None]]:
    """The functions that run a command and close its resources. Ctrl-C is handled while they load."""
    if _WITHOUT_PANDAS not in sys.meta_path:
        sys.meta_path.insert(0, _WITHOUT_PANDAS)
    with loading():
        from tollbook.cli.app import close, run  # noqa: PLC0415  # see above
    return run, close


if __name__ == "__main__":
    command()
