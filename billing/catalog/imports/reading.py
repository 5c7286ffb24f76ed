"""Reads documents of other people's programs: bounded in size, depth and count, and total. What is wrong is one BadDocument.

No message shows a value: a document may hold keys. YAML is built from events without recursion, so that neither brackets by
the thousand nor aliases of aliases take memory or stack.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from billing.catalog.imports.model import BadDocument

JSON_BYTES_MAX = 64 << 20
YAML_BYTES_MAX = 8 << 20
_DEPTH_MAX = 100
_VALUES_MAX = 1_000_000  # after aliases are written out
_LIMIT_MAX = 10**15
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as an escape; in pairs they are characters


def json_document(path: Path, what: str) -> dict[str, Any]:
    """The object in a file of JSON; numbers are exact. `what` says what the file should be."""
    data = _bytes(path, JSON_BYTES_MAX, what)
    try:
        return json_object(data, str(path), what)
    except UnicodeDecodeError:
        raise BadDocument(f"{path} is no text in UTF-8 or UTF-16; name {what}") from None


def json_object(text: str | bytes, where: str, what: str) -> dict[str, Any]:
    """The object in a text of JSON."""
    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=_refused, object_pairs_hook=_object)
    except json.JSONDecodeError as exc:
        raise BadDocument(f"{where} is no JSON (line {exc.lineno}, column {exc.colno}); name {what}") from None
    except _GivenTwice:
        raise BadDocument(f"{where}: an object has a field twice; which one holds is unclear, keep one") from None
    except RecursionError:
        raise BadDocument(f"{where} is nested too deep; name {what}") from None
    except UnicodeDecodeError:
        raise
    except (ValueError, InvalidOperation):
        raise BadDocument(f"{where} holds a number that is none; name {what}") from None
    if not isinstance(found, dict):
        raise BadDocument(f"{where} is no JSON object; name {what}")
    if _is_deep(found):
        raise BadDocument(f"{where} is nested deeper than {_DEPTH_MAX} levels; name {what}")
    if _SURROGATE.search(text if isinstance(text, str) else text.decode("latin-1")):
        try:
            json.dumps(found, default=str, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadDocument(f"{where} holds half of a character (a lone surrogate); name {what}") from None
    return found


def _is_deep(found: Any) -> bool:
    """Whether it is nested deeper than anything that follows it could go without end."""
    level = [found]
    for _ in range(_DEPTH_MAX):
        inner = [child for outer in level for child in (outer.values() if isinstance(outer, dict) else outer)]
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def yaml_document(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a file of YAML. Scalars are text, null is None; aliases and merge keys are written out."""
    try:
        text = _bytes(path, YAML_BYTES_MAX, what).decode("utf-8-sig")
        found = _Builder(str(path)).built(yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader)))
    except UnicodeDecodeError:
        raise BadDocument(f"{path} is no text in UTF-8; name {what}") from None
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise BadDocument(f"{path}:{line} is no YAML from there on; name {what}") from None
    except (yaml.YAMLError, ValueError):
        raise BadDocument(f"{path} is no YAML; name {what}") from None
    if not isinstance(found, dict):
        raise BadDocument(f"{path} is no mapping; name {what}")
    return found


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; an object alone is a list of one, anything else is none."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The texts in a list; a text alone is a list of one, anything else is none."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def number(value: Any) -> Decimal | None:
    """A finite number of a sensible size, written as number or as text, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        found = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return found if found.is_finite() and abs(found) <= _LIMIT_MAX and _places(found) else None


def _places(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -18  # noqa: PLR2004  # finer than any rate a gateway can grant


def _bytes(path: Path, limit: int, what: str) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadDocument(f"{path} is larger than {limit >> 20} MiB; name {what}")
    return data


class _GivenTwice(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _GivenTwice
    return found


def _refused(_: str) -> Any:
    raise ValueError


class _Open:
    """A collection that is being read: its value, and of a mapping the key that waits for a value."""

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value, self.anchor = value, anchor
        self.key = ""
        self.waits = False
        self.written: set[str] = set()  # keys that stand here; others are inherited by a merge key


class _Builder:
    def __init__(self, where: str) -> None:
        self._where = where
        self._anchors: dict[str, tuple[Any, int]] = {}  # value and how many values it holds
        self._open: list[_Open] = []
        self._counts: list[int] = [0]
        self._root: Any = None

    def built(self, events: Iterator[yaml.Event]) -> Any:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise BadDocument(f"{self._where} holds several documents; name one file for each")
            elif isinstance(event, yaml.ScalarEvent):
                null = event.implicit[0] and event.value in {"", "~", "null"}
                self._add(None if null else event.value, event.anchor, 1, event)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self._anchors:
                    raise BadDocument(f"{self._at(event)}: an alias of nothing; write the value out")
                self._add(*self._aliased(str(event.anchor)), event)
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self._begin(event)
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                done = self._open.pop()
                self._add(done.value, done.anchor, self._counts.pop() + 1, event)
        return self._root

    def _aliased(self, anchor: str) -> tuple[Any, None, int]:
        value, count = self._anchors[anchor]
        return value, None, count

    def _begin(self, event: yaml.Event) -> None:
        if len(self._open) >= _DEPTH_MAX:
            raise BadDocument(f"{self._at(event)}: nested deeper than {_DEPTH_MAX} levels; this is no configuration")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(value, getattr(event, "anchor", None)))
        self._counts.append(0)

    def _add(self, value: Any, anchor: str | None, count: int, event: yaml.Event) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, count
        self._counts[-1] += count
        if self._counts[-1] > _VALUES_MAX:
            raise BadDocument(f"{self._at(event)}: aliases make more than {_VALUES_MAX:,} values of it; write it out")
        if not self._open:
            self._root = value
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif not parent.waits:
            if not isinstance(value, str):
                raise BadDocument(f"{self._at(event)}: a field's name is no text; correct it")
            parent.key, parent.waits = value, True
        else:
            parent.waits = False
            self._put(parent, value, event)

    def _put(self, parent: _Open, value: Any, event: yaml.Event) -> None:
        if parent.key == "<<":
            for merged in objects(value):
                for key, inherited in merged.items():
                    parent.value.setdefault(key, inherited)
            return
        if parent.key in parent.written:
            raise BadDocument(f"{self._at(event)}: a field is given twice; keep one")
        parent.written.add(parent.key)
        parent.value[parent.key] = value

    def _at(self, event: yaml.Event) -> str:
        mark = event.start_mark
        return f"{self._where}:{mark.line + 1}" if mark else self._where
