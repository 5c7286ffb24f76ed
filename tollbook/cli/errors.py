"""The exit codes, and the one place where errors become messages.

0 done · 1 refused · 2 wrong use · 3 not billed · 70 a bug in Tollbook · 75 try again · 141 the output has no reader.
`tollbook --help` lists them, too.
"""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tollbook.cli.signals import stoppable
from tollbook.cli.terminal import complain

if TYPE_CHECKING:
    from billing.catalog.imports.model import ImportConflict
    from billing.catalog.loading import CatalogError
    from billing.invoicing.closes import Refused
    from schemas.halts import Halted

OK, REFUSED, USAGE, UNBILLED, BUG, AGAIN, UNREAD = 0, 1, 2, 3, 70, 75, 141
EXIT_CODES = {
    OK: "done, or nothing to do",
    REFUSED: "refused: the books or a rule forbid it, or a file could not be read",
    USAGE: "wrong use: an invalid option, path, name or catalog",
    UNBILLED: "done, but some usage or a partner is not billed; nothing is damaged",
    BUG: "a bug in Tollbook; committed data is intact",
    AGAIN: "try again: another run is active, disk full, no Kafka, interrupted",
    UNREAD: "the reader of the output closed it",
}

# Errors caused by the path, not by the machine: repeating the command does not help.
_WRONG_PATH = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS,
}  # fmt: skip
_ERRNO = re.compile(r"(?:os error|errno) (\d+)", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m|↳")


class WrongUse(Exception):
    """An option or argument is invalid. The message says which values are possible."""


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command, and turn its errors into one message per problem and an exit code."""
    with stoppable() as came:
        try:
            code = command() or OK
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _stopped()
        except SystemExit:  # raised by Rich when the reader of the output has closed it
            return UNREAD
        except Exception as exc:  # the top loop: an unknown error is a bug, unless a signal interrupted the command
            known = _answer(type(exc))
            return known(exc) if known else _stopped() if came else _bug()
        return code


def _answer(kind: type[BaseException]) -> Callable[[Any], int] | None:
    """What is done with an error of this class: the answer to its nearest ancestor that has one."""
    names = (f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__)
    return next((ANSWERS[name] for name in names if name in ANSWERS), None)


def _problems(exc: "CatalogError | ImportConflict") -> int:
    for problem in exc.problems:
        complain(str(problem))
    return USAGE


def _refused(exc: "Refused") -> int:
    for problem in exc.problems:
        complain(str(problem))
    return REFUSED


def _wrong_use(exc: Exception) -> int:
    complain(str(exc))
    return USAGE


def _halted(exc: "Halted") -> int:
    complain(str(exc))
    return AGAIN if exc.reason.passes else USAGE


def _busy(exc: Exception) -> int:
    complain(str(exc))
    return AGAIN


def _fenced(exc: Exception) -> int:
    complain(f"another process wrote to the lake at the same time; nothing was lost, so repeat the command ({exc})")
    return AGAIN


def _lake(exc: Exception) -> int:
    complain(_COLOUR.sub("", str(exc)))
    return AGAIN if _is_disk(_number(exc)) else USAGE


def _damaged(exc: Exception) -> int:
    complain(_COLOUR.sub("", str(exc)))
    return REFUSED


def _unread(_: Exception) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discards the remaining output
    return UNREAD


def _disk(exc: OSError) -> int:
    number = _number(exc)
    reason = os.strerror(number) if number else _COLOUR.sub("", str(exc))
    remedy = "free or repair it" if _is_disk(number) else "check the path and its permissions"
    complain(f"{exc.filename or 'disk'}: {reason}; {remedy}, then repeat the command: it continues where it stopped")
    return AGAIN if _is_disk(number) else USAGE


def _unreadable_lake(exc: Exception) -> int:
    full = "No space left" in str(exc)
    remedy = "free some space, then repeat the command" if full else "restore the lake from a backup"
    complain(f"the lake cannot be read: {exc}; {remedy}")
    return AGAIN if full else USAGE


def _stopped() -> int:
    complain("interrupted; committed data is kept. Repeat the command: it continues where it stopped")
    return AGAIN


def _bug() -> int:
    traceback.print_exc()
    complain("this is a bug in Tollbook; please report the lines above. Committed data is intact")
    return BUG


def _number(exc: Exception) -> int | None:
    """The operating system's number of an error. Libraries give it only in the text, if at all."""
    found = _ERRNO.search(str(exc))
    return getattr(exc, "errno", None) or (int(found[1]) if found else None)


def _is_disk(number: int | None) -> bool:
    return number is not None and number not in _WRONG_PATH


# By name: an error that was raised has a class that is imported, and the classes of others need not be.
ANSWERS: dict[str, Callable[[Any], int]] = {
    "billing.catalog.loading.CatalogError": _problems,
    "billing.catalog.imports.model.ImportConflict": _problems,
    "billing.invoicing.closes.Refused": _refused,
    "billing.catalog.imports.model.BadDocument": _wrong_use,
    "billing.periods.BadPeriod": _wrong_use,
    "ingest.decode.formats.UnknownFormat": _wrong_use,
    "ingest.http.producers.BadProducers": _wrong_use,
    "tollbook.cli.errors.WrongUse": _wrong_use,
    "tollbook.kafka.errors.KafkaRefused": _wrong_use,
    "tollbook.kafka.options.BadKafkaOptions": _wrong_use,
    "tollbook.kafka.positions.BadPositions": _wrong_use,
    "tollbook.local_run.run.NoFiles": _wrong_use,
    "lake.errors.Damaged": _damaged,
    "lake.errors.LakeError": _lake,
    "lake.errors.Fenced": _fenced,
    "schemas.halts.Halted": _halted,
    "tollbook.kafka.errors.KafkaUnreachable": _busy,
    "tollbook.local_run.active.Busy": _busy,
    "builtins.BrokenPipeError": _unread,
    "builtins.OSError": _disk,
    "_duckdb.IOException": _unreadable_lake,
}
