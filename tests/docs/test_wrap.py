"""Prose wraps at 120 characters, in the pages and in the comments of SQL. Ruff checks the prose of Python (W505)."""

import pytest

from tests.docs.pages import PAGES, ROOT

WIDTH = 120
FOLDERS = ("aggregate", "billing", "ingest", "schemas", "tollbook", "tests")
# To be wrapped with their next change, written by programs, or frozen.
LEFT = ("docs/gateways.md", "docs/results/", "ingest/decode/", "tests/ingest/", "billing/invoicing/rules1/")


def too_long(text: str) -> list[int]:
    """The lines of prose that are too long. Rows of tables, code, and comments of Markdown are not prose."""
    found, is_code = [], False
    for number, line in enumerate(text.splitlines(), 1):
        is_code ^= line.lstrip().startswith("```")
        if not is_code and len(line) > WIDTH and not line.lstrip().startswith(("|", "<!--")):
            found.append(number)
    return found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("x" * 120, [], id="as long as allowed"),
        pytest.param(f"short\n{'x' * 121}", [2], id="one more"),
        pytest.param("é " * 60, [], id="characters, not bytes"),
        pytest.param(f"| {'x' * 121} |\n```\n{'x' * 121}\n```\n<!-- {'x' * 121} -->", [], id="no prose"),
        pytest.param(f"```\ncode\n```\n{'x' * 121}", [4], id="after code"),
    ],
)
def test_long_lines_are_found(text: str, lines: list[int]) -> None:
    assert too_long(text) == lines


@pytest.mark.parametrize("page", [name for page in PAGES if not (name := str(page.relative_to(ROOT))).startswith(LEFT)])
def test_a_page_wraps(page: str) -> None:
    """A long line of prose makes a diff of one word as long as the paragraph."""
    assert not too_long((ROOT / page).read_text())


def test_comments_of_statements_wrap() -> None:
    found = [
        f"{name}:{number}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.sql"))
        for name in [str(path.relative_to(ROOT))]
        if not name.startswith(LEFT)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > WIDTH and line.lstrip().startswith("--")
    ]
    assert not found
