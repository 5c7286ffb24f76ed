"""Positions of values in YAML text, by the marks of the parser."""

from typing import Any

import yaml

Path = tuple[str | int, ...]  # keys and indices, from the top


def composed(text: str) -> Any:
    """The value of a text that a catalog was loaded from. Scalars are text, null is None."""
    node = yaml.compose(text, Loader=yaml.BaseLoader)
    return {} if node is None else value_of(node)


def value_of(node: yaml.Node) -> Any:
    """The value of a node. Scalars are text, null is None."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: value_of(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [value_of(item) for item in node.value]
    return None if is_null(node) else node.value


def is_null(node: yaml.Node) -> bool:
    """Whether a node is a null scalar."""
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
    """Where a node's own text ends. The parser's end mark of a block includes the comments and blank lines after it."""
    if isinstance(node, yaml.ScalarNode):
        end = int(node.end_mark.index)
        return len(text[:end].rstrip()) if node.style in {"|", ">"} else end
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(text, last[1] if isinstance(last, tuple) else last)


def line_end(text: str, at: int) -> int:
    """The end of the line that contains `at`, before its line break, which has one or two characters."""
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" else end
