"""Options that many commands share: the lake, the catalog, the month, JSON output, and the clock."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from lake.tables import LakeError, local
from schemas.zones import in_utc
from tollbook.cli.errors import WrongUse
from tollbook.cli.terminal import shortened

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

_SOURCE_CHARACTERS_MAX = 128  # as in the catalog


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
