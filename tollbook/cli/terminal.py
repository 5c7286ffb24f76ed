"""The terminal: the two consoles, and the safe display of text from logs and catalogs.

Markup and emoji codes in text are not interpreted, control characters are shown as escapes, and long values are
truncated with their length. No log line, file name or id can therefore color, move or hide anything on the screen.
"""

import json
import os
import sys
import unicodedata
from typing import IO, Any, Literal

from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

WIDTH_UNBOUND = 100_000  # output for programs is not wrapped
VALUE_CHARACTERS_MAX = 200
Cell = str | Text  # of a table


class Screen(Console):
    """A console that displays every string safely."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property  # type: ignore[misc]  # nothing sets it
    def size(self) -> ConsoleDimensions:
        """The size of the terminal. Without one, COLUMNS sets the width; otherwise the width is unbounded."""
        found = super().size
        return found if self.is_terminal or "COLUMNS" in os.environ else found._replace(width=WIDTH_UNBOUND)

    def render_str(self, text: str, **options: Any) -> Text:  # the options are rich's
        """The display of a string. Rich calls this for each string, also in tables."""
        return super().render_str(shown(text), **options)

    def on_broken_pipe(self) -> None:
        """Raise when the reader has closed the output; the caller handles it."""
        raise BrokenPipeError


out = Screen()
err = Screen(stderr=True)


def shown(text: str) -> str:
    """`text` with non-printable characters as escapes. Line ends are kept."""
    return text if text.isprintable() else "".join(c if _is_shown(c) else ascii(c)[1:-1] for c in text)


def shortened(text: str, limit: int = VALUE_CHARACTERS_MAX) -> str:
    """`text`, or if it is too long its beginning and length."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def words(*parts: str | tuple[str, str]) -> Text:
    """Text assembled from parts, some with a style. It is the only way to style a part of a line."""
    return Text.assemble(*((shown(p), "") if isinstance(p, str) else (shown(p[0]), p[1]) for p in parts))


def sentence(*parts: str | tuple[str, str], style: str = "") -> None:
    """Print one line to standard output. A terminal wraps it between words."""
    out.print(words(*parts), style=style)


def complain(message: str, *, level: Literal["error", "warning"] = "error") -> None:
    """Print one line to standard error. Only a terminal wraps it."""
    line = " ".join(message.split())
    err.print(words((f"{level}:", "bold red" if level == "error" else "bold yellow"), f" {line}"))


def show_json(value: Any) -> None:
    """Print a result as JSON. It is plain ASCII, so it has no control characters."""
    write(sys.stdout, json.dumps(value, default=_plain, indent=2) + "\n")


def show_json_line(value: Any) -> None:
    """Print one of several results as a line of JSON."""
    write(sys.stdout, json.dumps(value, default=_plain) + "\n")


def write(stream: IO[str], text: str) -> None:
    """Write `text`, and flush."""
    stream.write(text)
    stream.flush()


def table(title: str | None, *columns: str) -> "Grid":
    """A table without lines. A column whose name begins with > holds numbers, which are wrapped last."""
    view = Grid(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )  # fmt: skip
    for column in columns:
        numeric = column.startswith(">")
        view.add_column(
            _whole(column.removeprefix(">")), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold"
        )
    return view


class Grid(Table):
    """A table whose values are shortened. A value that does not fit is folded, never dropped."""

    def row(self, *cells: Cell, style: str = "") -> None:
        """Add a row."""
        self.add_row(*(_whole(shortened(c)) if isinstance(c, str) else c for c in cells), style=style)


def _whole(text: str) -> Text:
    """Text that may be folded in any column, so that the end of a number is never cut off."""
    whole = words(text.replace("\n", "\\n"))
    whole.no_wrap = False
    whole.overflow = "fold"
    return whole


def _is_shown(character: str) -> bool:
    return character == "\n" or character.isprintable() or unicodedata.category(character) == "Zs"


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
