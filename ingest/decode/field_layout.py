"""The field layout of a format: the members of a JSON line that its statement reads, and which of them vary.

The header of a format lists the members that vary after `Varying:`, each with its role and path, as in `-- Varying: id
request/id, time started_at`. A slash leads into objects and into lists with one object. The other members come from the
statement's `from_json`, and from its look-ups in the lists of {"key": …, "value": …} that the header names, as in `--
Attributes: texts record/attributes`.
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
    "id_behind": ID_BEHIND,  # the event's id is another text, a space and this id, if both together are short enough
    "address": ADDRESS,
    "unread": UNREAD,
    "request": REQUEST,
    "time": TIME,
    "epoch": EPOCH,  # a time as a number; in any other form, another member may give the time
    "time_cut": TIME_CUT,  # decimals after the sixth are cut off
    "request_bytes": REQUEST_BYTES,
    "response_bytes": RESPONSE_BYTES,
    "latency_ms": LATENCY_MS,
    "latency_s": LATENCY_S,
    "latency_ns": LATENCY_NS,
    "latency_part": LATENCY_PART,  # counts only in a line without a latency
    "end": END,  # a time: the latency is the time from the start to it
}
_IDS = {ID, ID_BEHIND}
_Path = tuple[str, ...]


def layout_of(format_name: str, partner_field: str | None = None) -> FieldLayout | None:
    """The layout of a format; None if its header has no `Varying:`.

    `partner_field`: the field in which a source names partners, if it does.
    """
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
    return _layout(
        [*members, *roles],
        {path: _ROLES[role] for path, role in roles.items()},
        lists,
        strict=formats.is_strict(format_name),
    )


def header_paths(statement: str, word: str) -> Iterator[tuple[_Path, str]]:
    """The (path, word) pairs of a header line."""
    for line in statement.splitlines():
        if line.startswith(f"-- {word}:"):
            for pair in line.removeprefix(f"-- {word}:").split(","):
                what, path = pair.split()
                yield tuple(path.split("/")), what


def _leads(path: _Path, to: _Path) -> bool:
    """Whether a path lies inside another."""
    return len(path) < len(to) and to[: len(path)] == path


def _members(statement: str, wanted: Collection[_Path]) -> dict[_Path, None]:
    """The members of the `from_json` that has most of the `wanted` paths; objects are represented by their members."""
    structures = re.findall(r"from_json\((?:line|record), '(\{.*?\})'\)", statement, re.DOTALL)
    read = [dict.fromkeys(_leaves(json.loads(structure), (), wanted)) for structure in structures]
    return max(read, key=lambda members: sum(path in members for path in wanted))


def _leaves(structure: Any, path: _Path, wanted: Collection[_Path]) -> Iterator[_Path]:
    """The members that are not objects. A list is a leaf unless a wanted path leads into it."""
    holds_wanted = any(_leads(path, other) for other in wanted)
    if isinstance(structure, list) and holds_wanted:
        (structure,) = structure
    if isinstance(structure, dict):
        for name, value in structure.items():
            yield from _leaves(value, (*path, name), wanted)
    elif not holds_wanted:
        yield path


def _layout(
    paths: Collection[_Path], roles: dict[_Path, int], lists: Collection[_Path], *, strict: bool
) -> FieldLayout:
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
    # The list grows during the walk: objects are numbered in the order of their first occurrence.
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
    """Whether two roles give the same field of an event."""
    return (role in _IDS and other in _IDS) or (NUMBER[role] >= 0 and NUMBER[role] == NUMBER[other])
