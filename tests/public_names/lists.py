"""Lists of names as text: a name a line, sorted, under `tests/public_names`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
REMEDY = """
Public names of `{subject}` differ from tests/public_names/{subject}.txt (- committed, + of this code):

{difference}

A name that was removed or renamed breaks users: their queries, scripts, dashboards, consumers. Give it back.
Where names were only added, write the lists anew, read the diff, and commit it:
    python -m tests.public_names
"""


def committed(subject: str) -> list[str]:
    """The list that is committed; none is empty."""
    path = FOLDER / f"{subject}.txt"
    return path.read_text().splitlines() if path.exists() else []


def write(subject: str, names: Iterable[str]) -> None:
    """Put a list in its place."""
    (FOLDER / f"{subject}.txt").write_text("".join(f"{name}\n" for name in names))


def complaint(subject: str, was: Sequence[str], now: Sequence[str]) -> str:
    """What is wrong with a list, and what to do about it; "" when it is the committed one."""
    changed = [
        line
        for line in difflib.unified_diff(list(was), list(now), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    return REMEDY.format(subject=subject, difference="\n".join(changed)) if changed else ""


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Every leaf of a JSON document with the path to it, without the texts that are for people."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            for_people = name in {"description", "summary", "title"} and isinstance(inner, str)
            if not for_people:
                yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield f"{path} = {value}"


def keys(value: Any, maps: frozenset[str] = frozenset(), path: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a JSON value with the path to it, and the type of what stands there.

    Below a path of `maps` keys are data.
    """
    if isinstance(value, Mapping):
        if path:
            yield path, "object"
        for name, inner in value.items():
            key = "*" if path in maps else name
            yield from keys(inner, maps, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path or "(the whole)", "array"
        for inner in value:
            yield from keys(inner, maps, f"{path}[]")
    else:
        yield path, _TYPES[type(value)]


_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}


def shape(values: Iterable[Any], maps: Iterable[str] = ()) -> list[str]:
    """The keys of several values of one kind: `path type|type`, each once."""
    found: dict[str, set[str]] = {}
    for value in values:
        for path, kind in keys(value, frozenset(maps)):
            found.setdefault(path, set()).add(kind)
    return sorted(f"{path} {'|'.join(sorted(kinds))}" for path, kinds in found.items())
