"""Writes records as YAML: short ones on one line.

Text is in quotes where a YAML reader would parse it as another type.
"""

import re
import sys
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from schemas.money import plain as plain_number

WIDTH = 110  # columns; a longer record is written over several lines
_SAFE = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_/.@+*:-]*")
_RESOLVER: Any = yaml.resolver.Resolver()


class Entry(NamedTuple):
    """A new list entry, with a comment on its origin."""

    value: Any
    comment: str = ""


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, Decimal):
        return plain_number(value)
    if isinstance(value, (int, date)):
        return str(value)
    return _quoted(str(value))


def block(value: Mapping[str, Any]) -> list[str]:
    """A record over several lines, with one line for each short field."""
    lines: list[str] = []
    for name, part in value.items():
        records = isinstance(part, (list, tuple)) and part and isinstance(part[0], Mapping)
        if records:
            lines += [f"{name}:", *(f"  {line}" for item in part for line in entry(Entry(item)))]
        elif isinstance(part, (list, tuple)) and len(flow(part)) > WIDTH:
            lines += [f"{name}:", *(f"  - {flow(item)}" for item in part)]
        else:
            lines.append(f"{name}: {flow(part)}")
    return lines


def entry(new: Entry) -> list[str]:
    """A list entry: on one line if it is short and flat. Its comment follows on the same line, or stands above."""
    comment = f"# {_harmless(new.comment)}" if new.comment else ""
    one = flow(new.value)
    flat = not isinstance(new.value, Mapping) or not any(
        isinstance(v, Mapping) or (isinstance(v, (list, tuple)) and v) for v in new.value.values()
    )
    if flat and len(one) <= WIDTH:
        return [f"- {one}  {comment}".rstrip()] if len(one) + len(comment) <= WIDTH else [comment, f"- {one}"]
    first, *rest = block(new.value)
    return [*([comment] if comment else []), f"- {first}", *(f"  {line}" for line in rest)]


def record(new: Entry) -> list[str]:
    """A record of a section, always over several lines."""
    first, *rest = block(new.value)
    return [*([f"# {_harmless(new.comment)}"] if new.comment else []), f"- {first}", *(f"  {line}" for line in rest)]


def _quoted(value: str) -> str:
    """Plain text if every YAML reader parses it as the same text, otherwise quoted text."""
    if _SAFE.fullmatch(value) and not value.endswith(":"):
        tag = _RESOLVER.resolve(yaml.ScalarNode, value, (True, False))
        if tag == "tag:yaml.org,2002:str":
            return value
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return str(yaml.safe_dump([value], default_flow_style=True, default_style='"', width=sys.maxsize)).strip()[1:-1]


def _harmless(comment: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in comment)
