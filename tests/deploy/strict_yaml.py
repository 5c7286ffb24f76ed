"""YAML as Compose and Prometheus read it: a key that stands twice in a mapping is refused, where PyYAML takes the
last.
"""

from collections.abc import Iterator
from typing import Any

import yaml


def load(text: str) -> Any:
    """What the text says. Raises ValueError."""
    try:
        twice = list(_twice(yaml.compose(text, Loader=yaml.SafeLoader)))
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc
    if twice:
        raise ValueError("; ".join(twice))
    return document


def _twice(node: yaml.Node | None) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _twice(each)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"line {key.start_mark.line + 1}: {key.value} stands twice"
            seen.add(key.value)
            yield from _twice(value)
