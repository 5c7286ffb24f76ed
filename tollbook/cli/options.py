"""The options that several commands share: the lake, the catalog, the month, JSON output, and the clock."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from lake.errors import LakeError
from lake.tables import local
from schemas.zones import in_utc
from tollbook.cli.errors import WrongUse
from tollbook.cli.terminal import shortened

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def folder_path(_: object, given: Sequence[Token]) -> Path:
    """A folder as typed. URLs are refused, and so is an empty value, which usually comes from an unset variable."""
    text = given[0].value
    if not text.strip():
        raise ValueError("it is empty; name a folder (. for the current one)")
    try:
        local(Path(text))
    except LakeError as exc:
        raise ValueError(str(exc)) from None
    return Path(text)


def plain_path(_: object, path: Path) -> None:
    """Refuse percent-escapes. delta-rs reads a path as a URI and would create and open the lake in two folders."""
    if found := _ESCAPE.search(str(path.absolute())):
        raise ValueError(
            f"{path.absolute()} contains {found[0]}, which is an escape in a URI; use a folder without it in its path"
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
        help="Commit after this many entries.",
    ),
]
NowOption = Annotated[datetime | None, Parameter("--now", show=False)]  # for tests and demos; the default is the clock

_SOURCE_CHARACTERS_MAX = 128  # as in the catalog


def source_name(source: str) -> None:
    """Raise WrongUse unless `source` is a valid name. It is part of event ids and of names in the lake."""
    if (
        not source.strip()
        or len(source) > _SOURCE_CHARACTERS_MAX
        or any(not c.isprintable() or c == "/" for c in source)
    ):
        raise WrongUse(
            f"--source {shortened(source)!r} is not a valid name; use 1 to {_SOURCE_CHARACTERS_MAX} characters "
            "without slashes and control characters, such as edge"
        )


def the_time(given: datetime | None) -> datetime:
    """The time of a command: the given instant, or the current time."""
    return datetime.now(UTC) if given is None else utc(given)


def the_clock(given: datetime | None) -> Callable[[], datetime]:
    """The clock of a long-running command: fixed at the given instant, or the real clock."""
    return lambda: the_time(given)


def utc(instant: datetime) -> datetime:
    """An instant as typed. Without a time zone it is UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else in_utc(instant)
