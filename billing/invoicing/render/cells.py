"""Text in CSV cells, made safe for spreadsheets."""

import re

_FORMULA = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_AT_START = re.compile(rf"""[\s"',;|]*{_FORMULA}|[\t\r\n]""")
_AFTER_SEPARATOR = re.compile(rf"""([",;|\t\r\n]\s*)(?={_FORMULA})""")


def text_cell(text: str) -> str:
    """Text that no spreadsheet treats as a formula, even if it splits the cell at another separator."""
    inner = _AFTER_SEPARATOR.sub(r"\1'", text)
    return f"'{inner}" if _AT_START.match(text) else inner
