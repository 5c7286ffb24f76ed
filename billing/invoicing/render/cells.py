"""Text in the cells of a CSV file, which people open in spreadsheets."""

import re

_FORMULA = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_AT_START = re.compile(rf"""[\s"',;|]*{_FORMULA}|[\t\r\n]""")
_AFTER_SEPARATOR = re.compile(rf"""([",;|\t\r\n]\s*)(?={_FORMULA})""")


def text_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, also where it splits the cell at a separator of its own."""
    inner = _AFTER_SEPARATOR.sub(r"\1'", text)
    return f"'{inner}" if _AT_START.match(text) else inner
