"""Reads JSON and YAML documents from other programs, with limits on size, depth and number of values.

Every fault raises BadDocument. No message shows a value, because a document may contain keys. YAML values are built
from parser events without recursion, so deep nesting and aliases of aliases exhaust neither the stack nor the memory.
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
_VALUES_MAX = 1_000_000  # with aliases expanded
_NUMBER_MAX = 10**15
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped surrogate; a pair of them is a valid character


def json_document(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file. Numbers with a fraction become exact decimals.

    `what` describes the expected file in messages.
    """
    data = _bytes(path, JSON_BYTES_MAX, what)
    try:
        return json_object(data, str(path), what)
    except UnicodeDecodeError:
        raise BadDocument(f"{path} is not UTF-8 or UTF-16 text; pass {what}") from None


def json_object(text: str | bytes, where: str, what: str) -> dict[str, Any]:
    """The object in a JSON text."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_reject_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as exc:
        raise BadDocument(f"{where} is not valid JSON (line {exc.lineno}, column {exc.colno}); pass {what}") from None
    except _DuplicateField:
        raise BadDocument(f"{where}: an object has the same field twice; keep one of them") from None
    except RecursionError:
        raise BadDocument(f"{where} is nested too deeply; pass {what}") from None
    except UnicodeDecodeError:
        raise
    except (ValueError, InvalidOperation):
        raise BadDocument(f"{where} holds an invalid number; pass {what}") from None
    if not isinstance(value, dict):
        raise BadDocument(f"{where} is not a JSON object; pass {what}")
    if _exceeds_depth(value):
        raise BadDocument(f"{where} is nested deeper than {_DEPTH_MAX} levels; pass {what}")
    if _SURROGATE.search(text if isinstance(text, str) else text.decode("latin-1")):
        try:
            json.dumps(value, default=str, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadDocument(f"{where} holds half of a character (a lone surrogate); pass {what}") from None
    return value


def _exceeds_depth(value: Any) -> bool:
    """Whether a value is nested deeper than _DEPTH_MAX. The limit keeps every later walk of the value short."""
    level = [value]
    for _ in range(_DEPTH_MAX):
        inner = [child for outer in level for child in (outer.values() if isinstance(outer, dict) else outer)]
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def yaml_document(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a YAML file. Scalars are text and null is None. Aliases and merge keys are expanded."""
    try:
        text = _bytes(path, YAML_BYTES_MAX, what).decode("utf-8-sig")
        value = _DocumentBuilder(str(path)).build(yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader)))
    except UnicodeDecodeError:
        raise BadDocument(f"{path} is not UTF-8 text; pass {what}") from None
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise BadDocument(f"{path}:{line}: invalid YAML from this line on; pass {what}") from None
    except (yaml.YAMLError, ValueError):
        raise BadDocument(f"{path} is not valid YAML; pass {what}") from None
    if not isinstance(value, dict):
        raise BadDocument(f"{path} is not a mapping; pass {what}")
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list. A single object counts as a list of one; any other value gives an empty list."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The strings in a list. A single string counts as a list of one; any other value gives an empty list."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """The value if it is a non-empty string, or None."""
    return value if isinstance(value, str) and value else None


def number(value: Any) -> Decimal | None:
    """The value as a finite number of at most _NUMBER_MAX and 18 decimals, or None. It may be a number or a string."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        parsed = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return parsed if parsed.is_finite() and abs(parsed) <= _NUMBER_MAX and _is_coarse(parsed) else None


def _is_coarse(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -18  # noqa: PLR2004  # finer than any rate a gateway can grant


def _bytes(path: Path, limit: int, what: str) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadDocument(f"{path} is larger than {limit >> 20} MiB; pass {what}")
    return data


class _DuplicateField(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _DuplicateField
    return fields


def _reject_constant(_: str) -> Any:
    raise ValueError


class _PartialCollection:
    """A collection that is being built: its value so far and, for a mapping, the key whose value comes next."""

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value, self.anchor = value, anchor
        self.key = ""
        self.has_key = False
        self.written: set[str] = set()  # keys of the mapping itself; a merge key may add others


class _DocumentBuilder:
    def __init__(self, where: str) -> None:
        self._where = where
        self._anchors: dict[str, tuple[Any, int]] = {}  # each anchored value, and the number of values in it
        self._open: list[_PartialCollection] = []
        self._counts: list[int] = [0]
        self._root: Any = None

    def build(self, events: Iterator[yaml.Event]) -> Any:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise BadDocument(f"{self._where} holds several documents; import each from a file of its own")
            elif isinstance(event, yaml.ScalarEvent):
                null = event.implicit[0] and event.value in {"", "~", "null"}
                self._add(None if null else event.value, event.anchor, 1, event)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self._anchors:
                    raise BadDocument(f"{self._at(event)}: the alias has no anchor; write the value out")
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
            raise BadDocument(f"{self._at(event)}: nested deeper than {_DEPTH_MAX} levels; reduce the nesting")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_PartialCollection(value, getattr(event, "anchor", None)))
        self._counts.append(0)

    def _add(self, value: Any, anchor: str | None, count: int, event: yaml.Event) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, count
        self._counts[-1] += count
        if self._counts[-1] > _VALUES_MAX:
            raise BadDocument(
                f"{self._at(event)}: aliases expand to more than {_VALUES_MAX:,} values; use fewer aliases"
            )
        if not self._open:
            self._root = value
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif not parent.has_key:
            if not isinstance(value, str):
                raise BadDocument(f"{self._at(event)}: a field name is not text; correct it")
            parent.key, parent.has_key = value, True
        else:
            parent.has_key = False
            self._put(parent, value, event)

    def _put(self, parent: _PartialCollection, value: Any, event: yaml.Event) -> None:
        if parent.key == "<<":
            for merged in objects(value):
                for key, inherited in merged.items():
                    parent.value.setdefault(key, inherited)
            return
        if parent.key in parent.written:
            raise BadDocument(f"{self._at(event)}: the mapping has the same field twice; keep one of them")
        parent.written.add(parent.key)
        parent.value[parent.key] = value

    def _at(self, event: yaml.Event) -> str:
        mark = event.start_mark
        return f"{self._where}:{mark.line + 1}" if mark else self._where
