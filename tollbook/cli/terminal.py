"""The terminal: the two consoles, and how text from logs and catalogs is shown on them.

Text is text: no markup and no emoji code is read in it, control characters are shown as escapes and never sent, and a long
value is cut with its length. So no log line, file name or id can colour, move or hide anything on the screen.
"""

import json
import os
import sys
import unicodedata
from typing import IO, Any, Literal

from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

WIDTH_UNBOUND = 100_000  # where programs read, nothing is wrapped
VALUE_CHARACTERS_MAX = 200
Cell = str | Text  # of a table


class Screen(Console):
    """A console that prints every string by the rules of this module."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property  # type: ignore[misc]  # nothing sets it
    def size(self) -> ConsoleDimensions:
        """As large as the terminal; without one as wide as COLUMNS says, else without bound."""
        found = super().size
        return found if self.is_terminal or "COLUMNS" in os.environ else found._replace(width=WIDTH_UNBOUND)

    def render_str(self, text: str, **options: Any) -> Text:  # the options are rich's
        """What a string looks like. Rich calls this for each string it is given, in tables as well."""
        return super().render_str(shown(text), **options)

    def on_broken_pipe(self) -> None:
        """The reader of our output went away: that is for the edge to answer."""
        raise BrokenPipeError


out = Screen()
err = Screen(stderr=True)


def shown(text: str) -> str:
    """`text` with every character that is not printed as an escape; a line end stays one."""
    return text if text.isprintable() else "".join(c if _is_shown(c) else ascii(c)[1:-1] for c in text)


def shortened(text: str, limit: int = VALUE_CHARACTERS_MAX) -> str:
    """`text`, or its beginning and its length."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def words(*parts: str | tuple[str, str]) -> Text:
    """Text of pieces, some with a style. The only way to style a part of a line."""
    return Text.assemble(*((shown(p), "") if isinstance(p, str) else (shown(p[0]), p[1]) for p in parts))


def sentence(*parts: str | tuple[str, str], style: str = "") -> None:
    """One line on standard output, wrapped between words on a terminal."""
    out.print(words(*parts), style=style)


def complain(message: str, *, level: Literal["error", "warning"] = "error") -> None:
    """One line on standard error; only a terminal wraps it."""
    line = " ".join(message.split())
    err.print(words((f"{level}:", "bold red" if level == "error" else "bold yellow"), f" {line}"))


def show_json(value: Any) -> None:
    """A result for programs. Plain ASCII: nothing in it reaches a terminal but itself."""
    write(sys.stdout, json.dumps(value, default=_plain, indent=2) + "\n")


def show_json_line(value: Any) -> None:
    """One of many results for programs: an object a line."""
    write(sys.stdout, json.dumps(value, default=_plain) + "\n")


def write(stream: IO[str], text: str) -> None:
    """All of `text`, now."""
    stream.write(text)
    stream.flush()


def table(title: str | None, *columns: str) -> "Grid":
    """A table without lines; columns that begin with > are numbers, which are wrapped last."""
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
    """A table whose values are shortened; a value that does not fit is folded, never left out."""

    def row(self, *cells: Cell, style: str = "") -> None:
        """Add a row."""
        self.add_row(*(_whole(shortened(c)) if isinstance(c, str) else c for c in cells), style=style)


def _whole(text: str) -> Text:
    """Text that is folded if need be, also in a column that should not be: the end of a number is never cut off."""
    whole = words(text.replace("\n", "\\n"))
    whole.no_wrap = False
    whole.overflow = "fold"
    return whole


def _is_shown(character: str) -> bool:
    return character == "\n" or character.isprintable() or unicodedata.category(character) == "Zs"


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
