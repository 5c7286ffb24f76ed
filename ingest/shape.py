"""The members of a JSON line that a format's statement looks at, and those of them that differ from line to line.

The header of a format says `Varying:` and then, for each member that differs, what it is and its name; / leads into objects:
`-- Varying: id request/id, epoch started_at`. The members themselves are those of the statement's `from_json`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest import formats

# What is done with a member. ALIKE: lines that share their result have the same bytes there. The others may differ: an id, times and
# whole numbers are read, of an address its network counts, and what is UNREAD has no part in an event.
ALIKE, ID, ADDRESS, UNREAD, EPOCH, ISO, REQUEST_BYTES, RESPONSE_BYTES, LATENCY_MS, LATENCY_NS = range(10)
_ROLES = {
    "id": ID,
    "address": ADDRESS,
    "unread": UNREAD,
    "epoch": EPOCH,
    "iso": ISO,
    "request_bytes": REQUEST_BYTES,
    "response_bytes": RESPONSE_BYTES,
    "latency_ms": LATENCY_MS,
    "latency_ns": LATENCY_NS,
}
IDS_MAX = 2


class Shape(NamedTuple):
    """A tree of names, as arrays; the line is object 0, and the members of object o are [first[o], first[o + 1]).

    `names`: all names one after another, that of member m is [name_at[m], name_at[m + 1]). `object_of`: which object member m is,
    -1 if none. `tags`: length, first and last byte of each name, to compare these first. `role`, and of an id its `place` among the ids.
    """

    first: npt.NDArray[np.int64]
    tags: npt.NDArray[np.int64]
    names: npt.NDArray[np.uint8]
    name_at: npt.NDArray[np.int64]
    object_of: npt.NDArray[np.int64]
    role: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]


def of_format(format_name: str, partner_field: str | None = None) -> Shape | None:
    """None where the header names nothing that varies. `partner_field`: one member more, by which the source names partners."""
    roles = _varying(formats.statement(format_name))
    if not roles:
        return None
    members = _members(format_name, roles)
    if partner_field is not None and not _added(members, partner_field.split("/"), roles):
        return None
    return _shape(members, roles)


def _varying(statement: str) -> dict[tuple[str, ...], int]:
    """Role by path."""
    said = [line.removeprefix("-- Varying:") for line in statement.splitlines() if line.startswith("-- Varying:")]
    pairs = [pair.split() for line in said for pair in line.split(",")]
    return {tuple(path.split("/")): _ROLES[role] for role, path in pairs}


def _members(format_name: str, roles: dict[tuple[str, ...], int]) -> dict[str, Any]:
    """The shape that the statement reads: of several the one with all that varies."""
    for shape in re.findall(r"from_json\(line, '(\{.*?\})'\)", formats.statement(format_name), re.DOTALL):
        members: dict[str, Any] = json.loads(shape)
        if all(_has(members, path) for path in roles):
            return members
    raise ValueError(f"format {format_name}: `Varying:` names a member that no from_json reads")


def _has(members: Any, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(members, dict) or name not in members:
            return False
        members = members[name]
    return isinstance(members, str)


def _added(members: dict[str, Any], path: Sequence[str], roles: dict[tuple[str, ...], int]) -> bool:
    """Whether `path` could be added: it is neither an object, nor inside a text, nor something that varies."""
    *objects, last = path
    for name in objects:
        members = members.setdefault(name, {})
        if not isinstance(members, dict):
            return False
    return tuple(path) not in roles and members.setdefault(last, "VARCHAR") == "VARCHAR"


def _shape(members: dict[str, Any], roles: dict[tuple[str, ...], int]) -> Shape:
    first, names, object_of, role, place = [0], list[bytes](), list[int](), list[int](), list[int]()
    objects: list[tuple[tuple[str, ...], dict[str, Any]]] = [((), members)]
    for path, inside in objects:  # grows as it is walked: objects are numbered in the order in which they are met
        for name, value in inside.items():
            names.append(name.encode())
            role.append(roles.get((*path, name), ALIKE))
            place.append(role.count(ID) - 1)
            object_of.append(len(objects) if isinstance(value, dict) else -1)
            if isinstance(value, dict):
                objects.append(((*path, name), value))
        first.append(len(names))
    if role.count(ID) > IDS_MAX:
        raise ValueError(f"`Varying:` names more than {IDS_MAX} ids")
    return Shape(
        np.array(first),
        np.array([len(name) << 16 | name[0] << 8 | name[-1] for name in names]),
        np.frombuffer(b"".join(names), np.uint8),
        np.cumsum([0, *map(len, names)]),
        np.array(object_of),
        np.array(role),
        np.array(place),
    )
