"""The pages of the documentation, and what tests take out of them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^( *)```(\S*)(?: ([^\n]*))?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\|(.*)\|$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, the word behind it, and its text."""

    language: str
    name: str
    text: str


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: Path) -> list[Block]:
    return [Block(m[2], m[3] or "", m[4]) for m in _FENCE.finditer(page.read_text())]


def block(page: str, name: str) -> str:
    """The one block of a page that is called so."""
    (found,) = [b.text for b in blocks(ROOT / page) if b.name == name]
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def section(page: str, title: str) -> str:
    """What stands under a heading of the second order, up to the next."""
    return text_of(page).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The rows of all tables in a text, headings and rules among them, as lists of cells."""
    return [[cell.strip() for cell in m[1].split(" | ")] for m in _ROW.finditer(text)]


def names_in_first_column(text: str) -> list[str]:
    """What stands in backquotes in the first cells of a text's tables."""
    return [name for row in rows(text) for name in re.findall(r"`([^`]+)`", row[0])]
