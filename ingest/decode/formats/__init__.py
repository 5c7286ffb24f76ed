"""Log formats: one SQL file each, from raw lines to entry columns. A new format needs no Python (docs/formats.md)."""

from functools import cache
from importlib import resources
from typing import NamedTuple

from lake import duck


class UnknownFormat(Exception):
    """There is no such format. The message lists the existing ones."""


class Format(NamedTuple):
    """One format: its name, the first line of its header, and the whole header."""

    name: str
    title: str
    header: str


@cache
def names() -> tuple[str, ...]:
    """All formats, sorted. The folder is read once."""
    folder = resources.files(__name__)
    return tuple(sorted(f.name.removesuffix(".sql") for f in folder.iterdir() if f.name.endswith(".sql")))


def statement(name: str) -> str:
    """The SQL of a format. Raises UnknownFormat."""
    if name not in names():
        raise UnknownFormat(f"unknown format {name!r}; there are: {', '.join(names())}")
    return duck.statement(__name__, name)


def is_strict(name: str) -> bool:
    """Whether the format's entries are usage events, which are never guessed at: its header has `Strict:`."""
    return any(line.startswith("-- Strict:") for line in statement(name).splitlines())


def layout_prefix(name: str) -> str | None:
    """The prefix of lines that define the columns of later lines: the first word after `Layout:` in the header."""
    found = [line for line in statement(name).splitlines() if line.startswith("-- Layout:")]
    return found[0].split()[2] if found else None


def describe(name: str) -> Format:
    """The header of a format's SQL file: fields, units, id rule."""
    lines = []
    for line in statement(name).splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    title = lines[0].removeprefix(f"{name}:").strip()
    return Format(name, title, "\n".join(lines))
