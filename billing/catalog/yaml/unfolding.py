"""Records in brackets, written over several lines: so that what is added to them can be read, and a diff shows it alone."""

from collections.abc import Sequence

import yaml

from billing.catalog.yaml.nodes import Path, end_of, node_at

_OPENING = {yaml.MappingNode: "{", yaml.SequenceNode: "["}


def unfolded(text: str, places: Sequence[Path]) -> str:
    """The text in which no record or list on the way to one of `places` is in brackets, where that is possible.

    Every value keeps its own text. What is in brackets over several lines, has an anchor, or is empty stays as it is.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    while places:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        steps = {step for where in places if (step := _step(text, root, where)) is not None}
        for start, end, lines in sorted(steps, reverse=True):
            text = text[:start] + newline.join(lines) + text[end:]
        if not steps:
            break
    return text


def _step(text: str, root: yaml.Node | None, where: Path) -> tuple[int, int, tuple[str, ...]] | None:
    """The first collection in brackets on the way, and what to put in its place. Of two places it is the same, or apart."""
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
