"""The edge of the command: exit codes, options that many commands share, the one place where errors become messages.

Exit codes, also in `tollbook --help`: 0 done · 1 refused · 2 wrong use · 3 not billed · 70 our bug · 75 try again · 141 nobody reads.
"""

import errno
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import duckdb
from cyclopts import Parameter, Token
from cyclopts.validators import Number

from billing.catalog.imports.model import BadDocument, Unsettled
from billing.catalog.loading import CatalogError
from billing.invoicing.closing import Refused
from billing.rating.periods import BadPeriod
from ingest.decode.formats import UnknownFormat
from ingest.http.producers import BadProducers
from lake.tables import Damaged, Fenced, LakeError, local
from schemas.halts import Halted
from schemas.zones import in_utc
from tollbook.cli.terminal import complain, shortened
from tollbook.kafka.errors import KafkaRefused, KafkaUnreachable
from tollbook.kafka.options import BadKafkaOptions
from tollbook.kafka.positions import BadPositions
from tollbook.local_run.run import Busy, NoFiles

OK, REFUSED, USAGE, UNBILLED, BUG, AGAIN, UNREAD = 0, 1, 2, 3, 70, 75, 141
EXIT_CODES = {
    OK: "done, or nothing was left to do",
    REFUSED: "refused: the books or a rule forbid it, or a file could not be read",
    USAGE: "wrong use: an option, a path, a name, the catalog",
    UNBILLED: "done, but usage or a partner is not billed; nothing is damaged",
    BUG: "a bug in Tollbook; what was committed is whole",
    AGAIN: "try again: another run is at work, disk full, Kafka away, interrupted",
    UNREAD: "the reader of the output went away",
}

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def folder_path(_: object, given: Sequence[Token]) -> Path:
    """A folder as it was typed. An address is none, and nothing is not this folder: a variable that is empty names no lake."""
    text = given[0].value
    if not text.strip():
        raise ValueError("it is empty; name a folder (. is this one)")
    try:
        local(Path(text))
    except LakeError as exc:
        raise ValueError(str(exc)) from None
    return Path(text)


def plain_path(_: object, path: Path) -> None:
    """delta-rs takes a path for a URI: it would make a lake in one folder and look for it in another."""
    if found := _ESCAPE.search(str(path.absolute())):
        raise ValueError(
            f"{path.absolute()} holds {found[0]}, which stands for another character in a URI; name a folder without it"
        )


CATALOG_VARIABLE = "TOLLBOOK_CATALOG"
LakeOption = Annotated[
    Path,
    Parameter(
        "--lake", env_var="TOLLBOOK_LAKE", converter=folder_path, validator=plain_path, help="Folder of the lake."
    ),
]
CatalogOption = Annotated[
    Path,
    Parameter("--catalog", env_var=CATALOG_VARIABLE, converter=folder_path, help="Folder of the catalog's YAML files."),
]
PeriodOption = Annotated[str, Parameter("--period", help="Billing month, YYYY-MM.")]
JsonOption = Annotated[
    bool, Parameter("--json", negative="", show_default=False, help="Print JSON for programs instead of a table.")
]
AT_LEAST_ONE = Number(gte=1)
CommitEntriesOption = Annotated[
    int,
    Parameter(
        "--commit-entries",
        env_var="TOLLBOOK_COMMIT_ENTRIES",
        validator=AT_LEAST_ONE,
        help="Commit after so many entries.",
    ),
]
NowOption = Annotated[datetime | None, Parameter("--now", show=False)]  # for tests and demonstrations; else the clock

# What a path, not the machine, is to blame for: repeating the command does not help.
_WRONG_PATH = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS,
}  # fmt: skip
_ERRNO = re.compile(r"(?:os error|errno) (\d+)", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m|↳")
_SOURCE_CHARACTERS_MAX = 128  # as in the catalog


class WrongUse(Exception):
    """Something was named that is not there. The message says what there is."""


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command; turn what may go wrong into one clear message for each problem, and an exit code."""
    with _stoppable() as came:
        try:
            code = command() or OK
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _stopped()
        except SystemExit:  # Rich's answer when nobody reads what it prints
            return UNREAD
        except Exception as exc:  # the top loop: what the table does not know is a bug, or was cut short by a signal
            known = next((answer for kinds, answer in _ANSWERS if isinstance(exc, kinds)), None)
            return known(exc) if known else _stopped() if came else _bug()
        return code


def source_name(source: str) -> None:
    """Raise WrongUse unless `source` can name a source: it is part of identities and of names in the lake."""
    if (
        not source.strip()
        or len(source) > _SOURCE_CHARACTERS_MAX
        or any(not c.isprintable() or c == "/" for c in source)
    ):
        raise WrongUse(
            f"--source {shortened(source)!r} is no name: give one of at most {_SOURCE_CHARACTERS_MAX} characters, "
            "without slashes and control characters, such as edge"
        )


def the_time(given: datetime | None) -> datetime:
    """The instant a command acts at: the one given, or the clock, read once."""
    return datetime.now(UTC) if given is None else utc(given)


def the_clock(given: datetime | None) -> Callable[[], datetime]:
    """The clock of a command that goes on: one that stands at the instant given, or the clock."""
    return lambda: the_time(given)


def utc(instant: datetime) -> datetime:
    """An instant as it was typed: without a zone it is UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else in_utc(instant)


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, once; the signals that came. A second one ends the process at once."""
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        raise KeyboardInterrupt

    with _first_signal(stop):
        yield came


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """For commands that run until they are told to end: set at the first SIGINT or SIGTERM; a second one ends the process at once."""
    asked = threading.Event()
    with _first_signal(lambda _: asked.set()):
        yield asked


@contextmanager
def _first_signal(heard: Callable[[int], None]) -> Iterator[None]:
    """`heard` is given the first SIGINT or SIGTERM; a second one ends the process at once."""
    ends = (signal.SIGINT, signal.SIGTERM)

    def handle(number: int, _: object) -> None:
        for each in ends:
            signal.signal(each, signal.SIG_DFL)
        heard(number)

    before = {each: signal.signal(each, handle) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _problems(exc: CatalogError | Refused | Unsettled) -> int:
    for problem in exc.problems:
        complain(str(problem))
    return REFUSED if isinstance(exc, Refused) else USAGE


def _wrong_use(exc: Exception) -> int:
    complain(str(exc))
    return USAGE


def _halted(exc: Halted) -> int:
    complain(str(exc))
    return AGAIN if exc.reason.passes else USAGE


def _busy(exc: Exception) -> int:
    complain(str(exc))
    return AGAIN


def _fenced(exc: Exception) -> int:
    complain(f"another process wrote to the lake at the same time; nothing was lost, repeat the command ({exc})")
    return AGAIN


def _lake(exc: Exception) -> int:
    complain(_COLOUR.sub("", str(exc)))
    return AGAIN if _is_disk(_number(exc)) else USAGE


def _damaged(exc: Damaged) -> int:
    complain(_COLOUR.sub("", str(exc)))
    return REFUSED


def _unread(_: Exception) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be written goes nowhere
    return UNREAD


def _disk(exc: OSError) -> int:
    number = _number(exc)
    reason = os.strerror(number) if number else _COLOUR.sub("", str(exc))
    remedy = "free or repair it" if _is_disk(number) else "check the path and its permissions"
    complain(f"{exc.filename or 'disk'}: {reason}; {remedy}, then repeat the command: it goes on where it stopped")
    return AGAIN if _is_disk(number) else USAGE


def _unreadable_lake(exc: Exception) -> int:
    full = "No space left" in str(exc)
    remedy = "free some space, then repeat the command" if full else "restore the lake from a backup"
    complain(f"the lake cannot be read: {exc}; {remedy}")
    return AGAIN if full else USAGE


def _stopped() -> int:
    complain("interrupted; what was committed is kept: repeat the command, and it goes on where it stopped")
    return AGAIN


def _bug() -> int:
    traceback.print_exc()
    complain("this is a bug in Tollbook: please report the lines above; what was committed before is whole")
    return BUG


def _number(exc: Exception) -> int | None:
    """The operating system's number of an error; libraries give it in the text, if at all."""
    found = _ERRNO.search(str(exc))
    return getattr(exc, "errno", None) or (int(found[1]) if found else None)


def _is_disk(number: int | None) -> bool:
    return number is not None and number not in _WRONG_PATH


# The first that fits.
_ANSWERS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Any], int]], ...] = (
    ((CatalogError, Refused, Unsettled), _problems),
    ((UnknownFormat, NoFiles, BadPeriod, WrongUse, BadDocument, BadProducers), _wrong_use),
    (Damaged, _damaged),
    (LakeError, _lake),
    (Halted, _halted),
    ((BadKafkaOptions, BadPositions, KafkaRefused), _wrong_use),
    ((Busy, KafkaUnreachable), _busy),
    (Fenced, _fenced),
    (BrokenPipeError, _unread),
    (OSError, _disk),
    (duckdb.IOException, _unreadable_lake),
)
