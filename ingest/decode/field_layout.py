"""The members of a JSON line that a format's statement looks at, and those of them that differ from line to line.

The header of a format says `Varying:` and then, for each member that differs, what it is and its name; / leads into objects and into
lists of one: `-- Varying: id request/id, time started_at`. The other members are those of the statement's `from_json`, and what it
looks up in the lists of {"key": …, "value": …} that the header names: `-- Attributes: texts record/attributes`.
"""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.decode import formats

# What is done with a member. ALIKE: lines that share their result have the same bytes there. The others may differ: an id, times and
# numbers are read, of an address its network counts, of a request line its method; of what is UNREAD nothing is in an event.
(
    ALIKE, ID, ID_BEHIND, ADDRESS, UNREAD, REQUEST, TIME, TIME_CUT, REQUEST_BYTES, RESPONSE_BYTES, LATENCY_MS, LATENCY_S, LATENCY_NS,
    LATENCY_PART, END, EPOCH,
) = range(16)  # fmt: skip
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
NUMBER = np.full(len(_ROLES), -1)  # by role, its place among ingest.decode.json_scan.NUMBERS
NUMBER[[TIME, TIME_CUT, EPOCH]] = 0
NUMBER[[REQUEST_BYTES, RESPONSE_BYTES]] = 1, 2
NUMBER[[LATENCY_MS, LATENCY_S, LATENCY_NS, END]] = 3
_IDS = {ID, ID_BEHIND}
IDS_MAX = 2
WORD = 8  # the bytes that the loop looks at, and copies, at once
PLACES_MAX = 14  # what the loop has bits for
VARYING_MAX = 62

_Path = tuple[str, ...]


class Shape(NamedTuple):
    """A tree of names, as arrays; the line is object 0, and the members of object o are [first[o], first[o + 1]).

    `names`: all names one after another, and a word behind them; that of member m is [name_at[m], name_at[m + 1]). `tags`: length, first
    and last byte of each, to compare these first. `object_of`: which object member m is, -1 if none. `parent`: the object that each lies
    in. `listed`: whether the members of an object are the keys of a list of {"key": …, "value": …}. `role`, and of ids and numbers the
    `place` among their like, of which the first counts. `nth`: which of those that vary it is.
    """

    first: npt.NDArray[np.int64]
    tags: npt.NDArray[np.int64]
    names: npt.NDArray[np.uint8]
    name_at: npt.NDArray[np.int64]
    object_of: npt.NDArray[np.int64]
    parent: npt.NDArray[np.int64]
    listed: npt.NDArray[np.bool_]
    role: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    nth: npt.NDArray[np.int64]
    strict: bool  # whether a line with a name twice, or with very many, is unusual

    @property
    def is_behind(self) -> bool:
        """Whether an event's id may be one of the line behind another text."""
        return bool((self.role == ID_BEHIND).any())


def of_format(format_name: str, partner_field: str | None = None) -> Shape | None:
    """None where the header names nothing that varies. `partner_field`: one member more, by which the source names partners."""
    statement = formats.statement(format_name)
    roles = dict(said(statement, "Varying"))
    if not roles:
        return None
    lists = dict(said(statement, "Attributes"))
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


def said(statement: str, word: str) -> Iterator[tuple[_Path, str]]:
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


def _shape(paths: Collection[_Path], roles: dict[_Path, int], lists: Collection[_Path], *, strict: bool) -> Shape:
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
    return Shape(
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
