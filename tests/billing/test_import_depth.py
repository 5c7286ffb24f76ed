"""Documents that are nested without end: each import ends at once, with the file's name, whatever stands around the
brackets.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.catalog.imports import deck, iam, terraform
from billing.catalog.imports.model import BadDocument
from billing.catalog.imports.reading import json_document

DEPTHS = (101, 300, 900, 960, 990, 5_000, 100_000)
SHAPES = {
    "lists": ('{"a": ' + "[", "]", "}"),
    "objects": ('{"a":' + '{"a":', "}", "}"),
    "modules": ('{"planned_values":{"root_module":' + '{"resources":[],"child_modules":[', "]}", "}}"),
    "conditions": (
        '{"Statement":[{"Effect":"Allow","Action":"s3:Get","Resource":"*","Condition":' + '{"Bool":',
        "}",
        "}]}",
    ),
    "half a character and lists": ('{"b": "\\ud83d", "a": ' + "[", "]", "}"),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "terraform": lambda path: terraform.read(path, tag="t"),
    "iam": lambda path: iam.policy(json_document(path, "a policy"), "here"),
    "deck": lambda path: deck.read(path, tag="t"),
}


def text(shape: str, depth: int) -> str:
    head, closing, tail = SHAPES[shape]
    opening = {
        "lists": "[",
        "objects": '{"a":',
        "modules": '{"resources":[],"child_modules":[',
        "conditions": '{"Bool":',
    }.get(shape, "[")
    start = head[: len(head) - len(opening)]
    inner = "" if opening.endswith("[") else "1"
    return start + opening * depth + inner + closing * depth + tail


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reader", READERS)
def test_brackets_by_the_thousand_are_refused(tmp_path: Path, reader: str, shape: str, depth: int) -> None:
    """At one depth on every Python: how deep the parser itself goes depends on the stack that is left, and 900
    levels were taken.
    """
    file = tmp_path / "document.json"
    file.write_text(text(shape, depth))
    with pytest.raises(BadDocument, match=r"document\.json"):
        READERS[reader](file)
