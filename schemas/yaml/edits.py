"""Edits of YAML text that keep everything else byte for byte: comments, order, quotes and blank lines.

An edit names its place by a path (keys and indices from the top). New text is inserted at the marks of the parser. The
result is then parsed again: unless its value is exactly the intended one, nothing is changed (`CannotEdit`).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from schemas.money import plain as plain_number
from schemas.yaml.nodes import Path, composed, end_of, is_null, line_end, node_at
from schemas.yaml.writing import WIDTH, Entry, block, entry, flow, record


class CannotEdit(Exception):
    """The text cannot be edited without changing more than intended. The message has the line, and the reason."""


class Append(NamedTuple):
    """Append entries to the list at `where`. A missing list is created."""

    where: Path
    entries: tuple[Entry, ...]


class Set(NamedTuple):
    """Set a field of the record at `where`, whether or not it exists."""

    where: Path
    name: str
    value: Any


class Drop(NamedTuple):
    """Remove one entry of the list at `where`."""

    where: Path
    place: int


Edit = Append | Set | Drop
_OPENING = {yaml.MappingNode: "{", yaml.SequenceNode: "["}


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with all edits applied. Raises CannotEdit."""
    wanted = composed(text)
    for edit in sorted(edits, key=lambda e: (isinstance(e, Drop), -e.place if isinstance(e, Drop) else 0)):
        _apply(wanted, edit)
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    before = _as_blocks(text, [e.where for e in edits if not isinstance(e, Drop) and _is_long(root, e)])
    node = yaml.compose(before, Loader=yaml.BaseLoader)
    splices = _first(before, edits) if node is None else [_splice(before, node, e) for e in edits]
    new = _spliced(before, splices)
    if not _has_value(new, wanted):
        pairs = enumerate(zip(text.splitlines(), new.splitlines(), strict=False), 1)
        line = next((i for i, (old, other) in pairs if old != other), 1)
        raise CannotEdit(
            f"{line}: uses YAML that cannot be edited automatically (an alias, or brackets over several lines)"
        )
    return new


class _Splice(NamedTuple):
    start: int
    end: int
    depth: int  # of two splices that start at the same place, the deeper one comes first
    new: str


def _has_value(text: str, wanted: Any) -> bool:
    try:
        return bool(composed(text) == wanted)
    except yaml.YAMLError:
        return False


def _is_long(root: yaml.Node | None, edit: Append | Set) -> bool:
    """Whether the edit would make the line of a record in brackets too long. It is then first written as a block."""
    values = [e.value for e in edit.entries] if isinstance(edit, Append) else [edit.value]
    there = (node_at(root, edit.where[:depth]) for depth in range(len(edit.where), 0, -1))
    innermost = next((node for node in there if node is not None), None)
    return innermost is not None and innermost.end_mark.column + len(flow(values)) > WIDTH


def _splice(text: str, root: yaml.Node, edit: Edit) -> _Splice:
    if isinstance(edit, Drop):
        return _dropped(text, node_at(root, edit.where), edit)
    if isinstance(edit, Set):
        return _set(text, node_at(root, edit.where), edit)
    target = node_at(root, edit.where)
    if isinstance(target, yaml.SequenceNode) and target.value:
        return _appended(text, target, edit)
    if target is not None and not (is_null(target) or isinstance(target, yaml.SequenceNode)):
        raise CannotEdit(f"{target.start_mark.line + 1}: must be a list")
    parent = node_at(root, edit.where[:-1])
    return _set(text, parent, Set(edit.where[:-1], str(edit.where[-1]), list(edit.entries)))


def _appended(text: str, target: yaml.SequenceNode, edit: Append) -> _Splice:
    depth = len(edit.where)
    if target.flow_style:
        items = "".join(f", {flow(e.value)}" for e in edit.entries)
        return _inserted(end_of(text, target.value[-1]), depth, items)
    if not text.startswith("-", target.start_mark.index):
        raise CannotEdit(f"{target.start_mark.line + 1}: a list with an anchor cannot be edited automatically")
    make = record if depth == 1 else entry
    lines = [line for e in edit.entries for line in make(e)]
    return _inserted(line_end(text, end_of(text, target)), depth, _on_lines(target.start_mark.column, lines))


def _set(text: str, target: yaml.Node | None, edit: Set) -> _Splice:
    """The splice that sets a field: on the same line inside brackets, otherwise on lines of its own."""
    if not isinstance(target, yaml.MappingNode):
        raise CannotEdit(f"{target.start_mark.line + 1 if target else 1}: must be a record")
    depth, make = len(edit.where), record if not edit.where else entry
    entries = [e if isinstance(e, Entry) else Entry(e) for e in edit.value] if _are_records(edit.value) else []
    values = [e.value for e in entries] or edit.value
    present = next(((k, v) for k, v in target.value if k.value == edit.name), None)
    if present is not None:
        key, old = present
        if isinstance(old, yaml.ScalarNode) and not is_null(old):
            return _Splice(old.start_mark.index, end_of(text, old), depth, flow(values))
        lines = [f"  {line}" for e in entries for line in make(e)]
        several = bool(lines) and not target.flow_style
        new = ":" + _on_lines(key.start_mark.column, lines) if several else f": {flow(values)}"
        return _Splice(key.end_mark.index, end_of(text, old), depth, new)
    at = end_of(text, target.value[-1][1]) if target.value else end_of(text, target) - 1
    if target.flow_style:
        return _inserted(at, depth, f"{', ' if target.value else ''}{edit.name}: {flow(values)}")
    lines = [f"{edit.name}:", *(f"  {line}" for e in entries for line in make(e))]
    lines = lines if entries else block({edit.name: edit.value})
    return _inserted(line_end(text, at), depth, _on_lines(target.value[0][0].start_mark.column, lines))


def _dropped(text: str, target: yaml.Node | None, edit: Drop) -> _Splice:
    """The splice that removes an entry with its lines and the line end before them.

    Another edit may therefore start after it.
    """
    if not isinstance(target, yaml.SequenceNode) or target.flow_style:
        line = target.start_mark.line + 1 if target else 1
        raise CannotEdit(f"{line}: an entry of a list in brackets cannot be removed automatically")
    item = target.value[edit.place]
    start = line_end(text, text.rfind("\n", 0, item.start_mark.index))
    return _Splice(start, line_end(text, end_of(text, item)), len(edit.where), "")


def _first(text: str, edits: Sequence[Edit]) -> list[_Splice]:
    """The splice that adds sections to a file that has only comments."""
    lines: list[str] = []
    for edit in edits:
        if isinstance(edit, Append):
            lines += [f"{edit.where[0]}:", *(f"  {line}" for e in edit.entries for line in record(e))]
    at = len(text.rstrip("\r\n"))
    return [_inserted(at, 0, _on_lines(0, lines))]


def _inserted(at: int, depth: int, new: str) -> _Splice:
    return _Splice(at, at, depth, new)


def _on_lines(column: int, lines: Sequence[str]) -> str:
    return "".join(f"\n{' ' * column}{line}" for line in lines)


def _spliced(text: str, splices: Sequence[_Splice]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    parts: list[str] = []
    at = 0
    for splice in sorted(splices, key=lambda s: (s.start, -s.depth)):
        if splice.start < at:
            raise CannotEdit(f"{text.count(newline, 0, at) + 1}: two edits overlap here")
        parts += [text[at : splice.start], splice.new.replace("\n", newline)]
        at = splice.end
    new = "".join(parts) + text[at:]
    return new if text else new.removeprefix(newline) + newline


def _apply(document: Any, edit: Edit) -> None:
    """Apply the edit to the parsed value of the text."""
    target = document
    for step in edit.where[:-1] if isinstance(edit, Append) else edit.where:
        target = target[step]
    if isinstance(edit, Append):
        name = edit.where[-1]
        present = target.get(name)
        target[name] = [*(present or []), *(_meant(e.value) for e in edit.entries)]
    elif isinstance(edit, Set):
        target[edit.name] = _meant(edit.value)
    else:
        del target[edit.place]


def _meant(value: Any) -> Any:
    """The value that parsing will return for a written value."""
    if isinstance(value, Mapping):
        return {k: _meant(v) for k, v in value.items()}
    if isinstance(value, Entry):
        return _meant(value.value)
    if isinstance(value, (list, tuple)):
        return [_meant(v) for v in value]
    return plain_number(value) if isinstance(value, Decimal) else str(value)


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], (Entry, Mapping))


def _as_blocks(text: str, places: Sequence[Path]) -> str:
    """The text with the collections in brackets on the paths to `places` written as blocks, where that is possible.

    Every value keeps its own text. Collections over several lines, with an anchor, or without values stay as they are.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    while places:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        steps = {step for where in places if (step := _block_step(text, root, where)) is not None}
        for start, end, lines in sorted(steps, reverse=True):
            text = text[:start] + newline.join(lines) + text[end:]
        if not steps:
            break
    return text


def _block_step(text: str, root: yaml.Node | None, where: Path) -> tuple[int, int, tuple[str, ...]] | None:
    """The first collection in brackets on the path, and its replacement.

    Those of two paths are the same or disjoint.
    """
    for depth in range(1, len(where) + 1):
        node, parent = node_at(root, where[:depth]), node_at(root, where[: depth - 1])
        if not isinstance(node, yaml.CollectionNode) or not node.flow_style or not node.value:
            continue
        start, end = node.start_mark.index, end_of(text, node)
        if "\n" in text[start:end] or not text.startswith(_OPENING[type(node)], start):
            return None
        if isinstance(node, yaml.MappingNode) and isinstance(parent, yaml.SequenceNode):
            fields = [text[k.start_mark.index : end_of(text, v)] for k, v in node.value]
            pad = " " * node.start_mark.column
            return start, end, (fields[0], *(pad + field for field in fields[1:]))
        if isinstance(node, yaml.SequenceNode) and isinstance(parent, yaml.MappingNode):
            key = next(k for k, v in parent.value if v is node)
            pad = " " * (key.start_mark.column + 2)
            items = (text[v.start_mark.index : end_of(text, v)] for v in node.value)
            return key.end_mark.index, end, (":", *(f"{pad}- {item}" for item in items))
        return None
    return None
