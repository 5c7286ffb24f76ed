"""The JSON fields that a format reads, each declared once at the head of its file; everything else follows from them.

A line `-- Field PATH [ROLE] [by MACRO] [as JSON]` declares one field. A slash leads into objects, and into lists with
one object. A field with a role varies from line to line (docs/decisions/016-template-cache.md); of several with the
same role the first that is there counts. A time, a size and a latency name the macro that types them, if it is not the
usual one. The declarations give the macro `fields(line)`, which reads them, the layout of the JSON scan, and the
statement that types what the scan slices out: with the same macros, so that there is one rule for a number.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from ingest.decode import formats

Path = tuple[str, ...]
_DECLARED = re.compile(r"-- Field (\S+)(?: +(?!by |as )(\w+))?(?: +by (\w+))?( +as JSON)?\s*")
# The member of a list of {"key": …, "value": …} has its value in one of these.
_TYPED_VALUES = ("stringValue", "intValue", "doubleValue")


class Field(NamedTuple):
    """One field: its path in the line, its role ("" if it does not vary), and the macro that types it."""

    path: Path
    role: str = ""
    macro: str = ""
    is_json: bool = False  # read as JSON, so that 1 and "1" differ


ROLES = frozenset(
    {
        "id",
        "id_behind",  # the event's id is another text, a space and this id, if both together are short enough
        "time",
        "request_bytes",
        "response_bytes",
        "latency",  # its macro gives milliseconds as text
        "latency_part",  # counts only in a line without a latency
        "end",  # a time: the latency is the time from the start to it
        "address",
        "request",  # a request line: its method counts
        "unread",
        "envelope",  # not read itself, but tells how the line is framed
    }
)


@cache
def declared(format_name: str) -> tuple[Field, ...]:
    """The fields of a format, in their order. Empty for a format that reads no JSON."""
    return in_header(formats.statement(format_name))


def in_header(statement: str) -> tuple[Field, ...]:
    """The fields that a statement declares. Raises ValueError for a declaration that cannot be read."""
    found = []
    for line in statement.splitlines():
        if not line.startswith("-- Field "):
            continue
        parts = _DECLARED.fullmatch(line)
        if parts is None or (parts[2] or "") not in ROLES | {""}:
            raise ValueError(f"not a declaration of a field: {line}")
        found.append(Field(tuple(parts[1].split("/")), parts[2] or "", parts[3] or "", bool(parts[4])))
    return tuple(found)


def lists(format_name: str) -> tuple[Path, ...]:
    """The lists of {"key": …, "value": …} whose keys are fields: the paths after `-- Attributes:`."""
    return tuple(tuple(path.split("/")) for path in _words(format_name, "Attributes"))


def _roots(format_name: str) -> dict[str, Path]:
    """By macro, the path of the objects it reads: the pairs after `-- Roots:`; else `fields` reads the whole line."""
    words = _words(format_name, "Roots")
    return {name: tuple(path.split("/")) for name, path in zip(words[::2], words[1::2], strict=True)} or {"fields": ()}


def _words(format_name: str, header: str) -> list[str]:
    prefix = f"-- {header}:"
    found = [line for line in formats.statement(format_name).splitlines() if line.startswith(prefix)]
    return found[0].removeprefix(prefix).replace(",", " ").split() if found else []


def macros(format_name: str) -> str:
    """The macros of one connection that read the fields of a format; nothing for a format without fields.

    `fields(line)` is a struct of texts, nested like the line; NULL for a line that is no JSON object. `respelled(line)`
    has the fields whose names differ from others only in case, which no struct can hold, under their whole paths.
    """
    text = "line" if formats.is_strict(format_name) else "exact_numbers(line)"
    found = [
        f"CREATE OR REPLACE TEMP MACRO {name}(line) AS CASE WHEN {_IS_OBJECT} THEN from_json({text}, '{shape}') END;"
        for name, shape in structures(format_name).items()
    ]
    if respelled := _by_spelling(format_name)[1]:
        members = ", ".join(
            f"\"{'/'.join(f.path)}\" := json_extract_string(line, '{_json_path(f)}')" for f in respelled
        )
        found.append(
            f"CREATE OR REPLACE TEMP MACRO respelled(line) AS CASE WHEN {_IS_OBJECT} THEN struct_pack({members}) END;"
        )
    return "\n".join(found)


def structures(format_name: str) -> dict[str, str]:
    """By macro, the structure that `from_json` takes, as it stands in a SQL literal."""
    own, _ = _by_spelling(format_name)
    if not own:
        return {}
    return {
        name: json.dumps(_shape([f for f in own if f.path[: len(root)] == root], len(root), lists(format_name)))
        for name, root in _roots(format_name).items()
    }


def _by_spelling(format_name: str) -> tuple[list[Field], list[Field]]:
    """The fields that a struct can hold, and those whose names differ from one of these only in case."""
    named: dict[Path, Path] = {}
    own, respelled = list[Field](), list[Field]()
    for field in declared(format_name):
        if field.role != "envelope":
            folded = tuple(part.lower() for part in field.path)
            (own if named.setdefault(folded, field.path) == field.path else respelled).append(field)
    return own, respelled


# json_valid first: from_json under TRY processes 2,048 lines row by row if one of them is broken.
_IS_OBJECT = "starts_with(line, '{') AND json_valid(line)"


def _json_path(field: Field) -> str:
    return "$" + "".join(f'."{part}"' for part in field.path)


def _shape(fields: Sequence[Field], depth: int, attributes: Sequence[Path]) -> dict[str, Any]:
    """The structure for `from_json`, of fields that lie so deep in the line."""
    shape: dict[str, Any] = {}
    for field in fields:
        inside = shape
        for n, part in enumerate(field.path[depth:-1], depth + 1):
            if field.path[:n] in attributes:
                inside[part] = [{"key": "VARCHAR", "value": dict.fromkeys(_TYPED_VALUES, "VARCHAR")}]
                break
            inside = inside.setdefault(part, {})
        else:
            inside[field.path[-1]] = "JSON" if field.is_json else "VARCHAR"
    return shape


def typing(varying: Sequence[Field]) -> tuple[str, Mapping[Path, int], Sequence[str]]:
    """The SQL that types slices; by path which of the macros of its role types a field; the roles with several macros.

    in:  slices(time, request_bytes, response_bytes, latency: texts; for each role with several macros which: time_by …)
    out: time_us, request_bytes, response_bytes, latency_us; NULL where the text is no number of its kind, -1 where the
         line has no latency in spite of it; in the order of slices
    """
    by: dict[Path, int] = {}
    typed, several = {}, []
    for role, likely in _TYPED.items():
        of_role = [f for f in varying if f.role == role or (role, f.role) == ("latency", "end")]
        expressions = list(dict.fromkeys(_expression(f, likely) for f in of_role))
        by |= {f.path: expressions.index(_expression(f, likely)) for f in of_role}
        typed[role] = "".join(expressions) or ("NULL::VARCHAR" if role == "latency" else "NULL::BIGINT")
        if len(expressions) > 1:
            several.append(role)
            branches = " ".join(f"WHEN {n} THEN {expression}" for n, expression in enumerate(expressions))
            typed[role] = f"CASE {role}_by {branches} END"
    latency = "latency_us(latency_ms)"
    if any(field.role == "end" for field in varying):
        latency = f"CASE WHEN latency_ms IS NULL THEN -1 ELSE {latency} END"
    # In steps, since a macro computes an argument as often as it names it.
    timed = f"SELECT *, {typed['time']} AS time_us FROM slices"
    measured = f"SELECT *, {typed['latency']} AS latency_ms FROM ({timed})"
    numbers = ", ".join(f"{typed[role]} AS {role}" for role in ("request_bytes", "response_bytes"))
    return f"SELECT time_us, {numbers}, {latency} AS latency_us FROM ({measured})", by, several


# By role, the macro that types it unless the field names another.
_TYPED = {"time": "", "request_bytes": "whole_number", "response_bytes": "whole_number", "latency": ""}


def _expression(field: Field, likely: str) -> str:
    macro = field.macro or likely
    if field.role == "end":
        return f"ms_between(time_us, {macro}(latency))"
    return f"{macro}({field.role})" if macro else field.role
