"""The members of a JSON line that a format's statement looks at, and those of them that differ from line to line.

The header of a format says `Varying:` and then, for each member that differs, what it is and its name; / leads into objects and into
lists of one: `-- Varying: id request/id, time started_at`. The other members are those of the statement's `from_json`, and what it
looks up in the lists of {"key": …, "value": …} that the header names: `-- Attributes: texts record/attributes`.
"""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from ingest.decode import formats
from kernels.json_layout import (
    ADDRESS,
    ALIKE,
    END,
    EPOCH,
    ID,
    ID_BEHIND,
    IDS_MAX,
    LATENCY_MS,
    LATENCY_NS,
    LATENCY_PART,
    LATENCY_S,
    NUMBER,
    PLACES_MAX,
    REQUEST,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    TIME,
    TIME_CUT,
    UNREAD,
    VARYING_MAX,
    WORD,
    FieldLayout,
)

_ROLES = {
    "alike": ALIKE,
    "id": ID,
    "id_behind": ID_BEHIND,  # the event's id is this one behind another text and a space, as long as both are short enough for an id
    "address": ADDRESS,
    "unread": UNREAD,
    "request": REQUEST,
    "time": TIME,
    "epoch": EPOCH,  # a time that is a number: where it is written otherwise, another member may say it
    "time_cut": TIME_CUT,  # digits of a second beyond the sixth are cut off
    "request_bytes": REQUEST_BYTES,
    "response_bytes": RESPONSE_BYTES,
    "latency_ms": LATENCY_MS,
    "latency_s": LATENCY_S,
    "latency_ns": LATENCY_NS,
    "latency_part": LATENCY_PART,  # counts only where there is no latency
    "end": END,  # a time: what lies between is the latency
}
_IDS = {ID, ID_BEHIND}
_Path = tuple[str, ...]


def layout_of(format_name: str, partner_field: str | None = None) -> FieldLayout | None:
    """None where the header names nothing that varies. `partner_field`: one member more, by which the source names partners."""
    statement = formats.statement(format_name)
    roles = dict(header_paths(statement, "Varying"))
    if not roles:
        return None
    lists = dict(header_paths(statement, "Attributes"))
    looked_up = [
        (*path, name) for path, texts in lists.items() for name in re.findall(rf"\b{texts}, '([^']+)'\)", statement)
    ]
    members = _members(statement, [*roles, *looked_up]) | dict.fromkeys(looked_up)
    for path in roles:
        if path not in members and path[-1] not in statement.partition("WITH ")[2]:
            raise ValueError(
                f"format {format_name}: `Varying:` names {'/'.join(path)}, which the statement does not read"
            )
    if partner_field is not None:
        own = tuple(partner_field.split("/"))
        if own in roles or any(_leads(own, path) or _leads(path, own) for path in [*members, *roles]):
            return None
        members[own] = None
    return _shape(
        [*members, *roles],
        {path: _ROLES[role] for path, role in roles.items()},
        lists,
        strict=formats.is_strict(format_name),
    )


def header_paths(statement: str, word: str) -> Iterator[tuple[_Path, str]]:
    """What a line of the header says of paths: a word of each."""
    for line in statement.splitlines():
        if line.startswith(f"-- {word}:"):
            for pair in line.removeprefix(f"-- {word}:").split(","):
                what, path = pair.split()
                yield tuple(path.split("/")), what


def _leads(path: _Path, to: _Path) -> bool:
    """Whether a member lies inside of another."""
    return len(path) < len(to) and to[: len(path)] == path


def _members(statement: str, wanted: Collection[_Path]) -> dict[_Path, None]:
    """Of the shapes that the statement reads, the one with most of what is `wanted`: its members that are no objects."""
    shapes = re.findall(r"from_json\((?:line|record), '(\{.*?\})'\)", statement, re.DOTALL)
    read = [dict.fromkeys(_leaves(json.loads(shape), (), wanted)) for shape in shapes]
    return max(read, key=lambda members: sum(path in members for path in wanted))


def _leaves(shape: Any, path: _Path, wanted: Collection[_Path]) -> Iterator[_Path]:
    """The members that are no objects, a list of which nothing inside is wanted among them."""
    holds_wanted = any(_leads(path, other) for other in wanted)
    if isinstance(shape, list) and holds_wanted:
        (shape,) = shape
    if isinstance(shape, dict):
        for name, value in shape.items():
            yield from _leaves(value, (*path, name), wanted)
    elif not holds_wanted:
        yield path


def _shape(paths: Collection[_Path], roles: dict[_Path, int], lists: Collection[_Path], *, strict: bool) -> FieldLayout:
    tree: dict[str, Any] = {}
    for path in paths:
        inside = tree
        for name in path[:-1]:
            inside = inside.setdefault(name, {})
        inside.setdefault(path[-1], None)
    first, names, object_of, role, place, nth = [0], list[bytes](), list[int](), list[int](), list[int](), list[int]()
    objects: list[tuple[_Path, dict[str, Any]]] = [((), tree)]
    parent = [-1]
    varying = list(roles)
    places = {
        path: sum(_are_like(roles[path], roles[other]) for other in varying[:n]) for n, path in enumerate(varying)
    }
    # The list grows as it is walked: objects are numbered in the order in which they are met.
    for number, (path, inside) in enumerate(objects):
        for name, value in inside.items():
            own = (*path, name)
            names.append(name.encode())
            role.append(roles.get(own, ALIKE))
            place.append(places.get(own, 0))
            nth.append(varying.index(own) if own in roles else 0)
            object_of.append(len(objects) if value is not None else -1)
            if value is not None:
                objects.append((own, value))
                parent.append(number)
        first.append(len(names))
    if role.count(ID) + role.count(ID_BEHIND) > IDS_MAX or max(place) >= PLACES_MAX or len(varying) > VARYING_MAX:
        raise ValueError(
            f"`Varying:` names more than {IDS_MAX} ids, {PLACES_MAX} numbers of a kind or {VARYING_MAX} members"
        )
    return FieldLayout(
        np.array(first),
        np.array([len(name) << 16 | name[0] << 8 | name[-1] for name in names]),
        np.frombuffer(b"".join(names) + bytes(WORD), np.uint8),
        np.cumsum([0, *map(len, names)]),
        np.array(object_of),
        np.array(parent),
        np.array([path in lists for path, _ in objects]),
        np.array(role),
        np.array(place),
        np.array(nth),
        strict,
    )


def _are_like(role: int, other: int) -> bool:
    """Whether they say the same of an event."""
    return (role in _IDS and other in _IDS) or (NUMBER[role] >= 0 and NUMBER[role] == NUMBER[other])
