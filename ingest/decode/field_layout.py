"""The field layout of a format: the members of a JSON line that its key and its slices come from."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.decode import fields, formats
from ingest.decode.fields import Field, Path
from kernels.json_layout import (
    ADDRESS,
    ALIKE,
    ID,
    IDS_MAX,
    LATENCY,
    NUMBER,
    PART,
    REQUEST,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    TIME,
    UNREAD,
    VARYING_MAX,
    WORD,
    FieldLayout,
)

# By role of a field: its role in the scan, and the slice of a number.
_ROLES = {
    "": (ALIKE, -1),
    "envelope": (ALIKE, -1),
    "id": (ID, 0),
    "id_behind": (ID, 0),
    "time": (NUMBER, TIME),
    "request_bytes": (NUMBER, REQUEST_BYTES),
    "response_bytes": (NUMBER, RESPONSE_BYTES),
    "latency": (NUMBER, LATENCY),
    "end": (NUMBER, LATENCY),
    "latency_part": (PART, LATENCY),
    "address": (ADDRESS, -1),
    "request": (REQUEST, -1),
    "unread": (UNREAD, -1),
}


class Layout(NamedTuple):
    """What the template cache needs to know of a format."""

    members: FieldLayout
    typing: str  # the statement that types slices (ingest/decode/fields.py)
    typed_by: npt.NDArray[np.uint8]  # by member: which of the macros of its role types it
    several: Sequence[str]  # the roles with more than one macro
    is_behind: bool  # whether an event id may be an id of the line with another text before it


def layout_of(format_name: str, partner_field: str | None = None) -> Layout | None:
    """The layout of a format; None if no field of it varies.

    `partner_field`: the field in which a source names partners, if it does.
    """
    declared = fields.declared(format_name)
    varying = [field for field in declared if field.role not in ("", "envelope")]
    if not varying:
        return None
    own = () if partner_field is None else tuple(partner_field.split("/"))
    if own:
        if any(_meet(own, field.path) for field in declared):
            return None
        declared += (Field(own),)
    typing, by, several = fields.typing(varying)
    members, paths = _members(declared, fields.lists(format_name), strict=formats.is_strict(format_name))
    typed_by = np.array([by.get(path, 0) for path in paths], np.uint8)
    return Layout(members, typing, typed_by, several, any(field.role == "id_behind" for field in declared))


def _meet(path: Path, other: Path) -> bool:
    """Whether one path lies inside the other, or is it."""
    shorter = min(len(path), len(other))
    return path[:shorter] == other[:shorter]


def _members(declared: Sequence[Field], lists: Collection[Path], *, strict: bool) -> tuple[FieldLayout, list[Path]]:
    """The tree of members, and the path of each."""
    tree: dict[str, Any] = {}
    for field in declared:
        inside = tree
        for name in field.path[:-1]:
            inside = inside.setdefault(name, {})
        inside[field.path[-1]] = None
    role_of = {field.path: field.role for field in declared}
    rank, nth = _ranks(declared)
    first, paths, object_of = [0], list[Path](), list[int]()
    objects: list[tuple[Path, dict[str, Any]]] = [((), tree)]
    parent = [-1]
    # The list grows during the walk: objects are numbered in the order of their first occurrence.
    for number, (path, inside) in enumerate(objects):
        for name, value in inside.items():
            own = (*path, name)
            paths.append(own)
            object_of.append(len(objects) if value is not None else -1)
            if value is not None:
                objects.append((own, value))
                parent.append(number)
        first.append(len(paths))
    names = [path[-1].encode() for path in paths]
    roles = [_ROLES[role_of.get(path, "")] for path in paths]
    if sum(role == ID for role, _ in roles) > IDS_MAX:
        raise ValueError(f"more than {IDS_MAX} fields are ids")
    if len(nth) > VARYING_MAX:
        raise ValueError(f"more than {VARYING_MAX} fields vary")
    layout = FieldLayout(
        np.array(first),
        np.array([len(name) << 16 | name[0] << 8 | name[-1] for name in names]),
        np.frombuffer(b"".join(names) + bytes(WORD), np.uint8),
        np.cumsum([0, *map(len, names)]),
        np.array(object_of),
        np.array(parent),
        np.array([path in lists for path, _ in objects]),
        np.array([role for role, _ in roles]),
        np.array([number for _, number in roles]),
        np.array([rank.get(path, 0) for path in paths]),
        np.array([nth.get(path, 0) for path in paths]),
        strict,
    )
    return layout, paths


def _ranks(declared: Sequence[Field]) -> tuple[dict[Path, int], dict[Path, int]]:
    """Of each field that varies: its rank among those that give the same, and its index among all."""
    rank: dict[Path, int] = {}
    nth: dict[Path, int] = {}
    before: dict[tuple[int, int], int] = {}
    for field in declared:
        if field.role not in ("", "envelope"):
            what = _ROLES[field.role]
            rank[field.path], nth[field.path] = before.get(what, 0), len(nth)
            before[what] = before.get(what, 0) + 1
    return rank, nth
