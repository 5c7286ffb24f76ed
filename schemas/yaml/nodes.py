"""Where things stand in YAML text, by the marks of the parser."""

from typing import Any

import yaml

Path = tuple[str | int, ...]  # keys and indices, from the top


def composed(text: str) -> Any:
    """What the text says; scalars as text, null as None. For texts that a catalog was loaded from."""
    node = yaml.compose(text, Loader=yaml.BaseLoader)
    return {} if node is None else said(node)


def said(node: yaml.Node) -> Any:
    """What a node says: scalars as text, null as None."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: said(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [said(item) for item in node.value]
    return None if is_null(node) else node.value


def is_null(node: yaml.Node) -> bool:
    """Whether a scalar says nothing."""
    return isinstance(node, yaml.ScalarNode) and node.style not in {"'", '"'} and node.value in {"", "~", "null"}


def node_at(root: yaml.Node | None, where: Path) -> yaml.Node | None:
    """The node at a path, or None."""
    node = root
    for step in where:
        if isinstance(node, yaml.MappingNode):
            node = next((v for k, v in node.value if k.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
        else:
            return None
    return node


def end_of(text: str, node: yaml.Node) -> int:
    """Where a node's own text ends; the parser counts comments and blank lines after a block to it."""
    if isinstance(node, yaml.ScalarNode):
        end = int(node.end_mark.index)
        return len(text[:end].rstrip()) if node.style in {"|", ">"} else end
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(text, last[1] if isinstance(last, tuple) else last)


def line_end(text: str, at: int) -> int:
    """Where the line ends in which `at` is: before its line end, of one character or two."""
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" else end
