"""Finds characters of an invoice that its fonts cannot draw. A PDF would silently show an empty box for each.

Typst decides which characters these are. As PDF/A it rejects text without a glyph and names the characters; the plain
PDF of an invoice accepts the same text. The check therefore compiles a small PDF/A document with the text in the
template's fonts and discards it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import typst

from billing.invoicing.render.typefaces import families, missing, typefaces

_PROBE = b"""#set text(font: json(bytes(sys.inputs.fonts)), fallback: true)
#for line in json(bytes(sys.inputs.lines)) { [#line #parbreak() #strong(line) #parbreak() #upper(line) #parbreak()] }
"""
_UNDRAWN = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_ESCAPED = re.compile(r"\\u\{([0-9a-f]+)\}|\\(.)")
_KEPT = 4096
# Latin letters, and the dashes, spaces, quotes and euro sign of our own texts. The fonts have them, so few
# invoices need the check.
_USUAL = re.compile("[\n -~\u00a0-\u017f\u2010-\u2015\u2018-\u201f\u2026\u202f\u20ac\u2212]*")


def missing_glyphs(text: str) -> list[str]:
    """The characters of `text` that the invoice fonts cannot draw, each once, in order of appearance.

    Both font weights are checked. A combining character is one entry together with its base character.
    """
    return [] if _USUAL.fullmatch(text) else list(_missing(text))


def undrawn(document: Mapping[str, Any]) -> list[str]:
    """The characters in any text of an invoice document that cannot be drawn."""
    return missing_glyphs("\n".join(dict.fromkeys(_texts(document))))


def problem(partner_id: str, fields: Mapping[str, Sequence[str]]) -> str:
    """The problem of a partner whose invoice contains such characters: by field of the catalog, and the remedy."""
    named = "; ".join(f"{_named(characters)} in {field}" for field, characters in fields.items())
    return f"partner {partner_id}: no font of invoices can draw {named}. {remedy()}"


def remedy() -> str:
    """What to do about characters that no font can draw."""
    write = "Write these fields without them, in the catalog"
    if not missing():
        return write
    return f"The fonts {', '.join(missing())} are not installed: pip install 'tollbook[fonts]'. {write}, if that is no help"


def _named(characters: Sequence[str]) -> str:
    return ", ".join(f"{shown!r} ({' '.join(f'U+{ord(c):04X}' for c in shown)})" for shown in characters)


@lru_cache(_KEPT)
def _missing(text: str) -> tuple[str, ...]:
    try:
        typst.compile(
            _PROBE,
            font_paths=typefaces(),
            format="pdf",
            pdf_standards=["a-3b"],
            sys_inputs={"lines": json.dumps(text.split("\n")), "fonts": json.dumps(families())},
            timestamp=0,
        )
    except typst.TypstError as exc:
        found = dict.fromkeys(_ESCAPED.sub(_plain, each) for each in _UNDRAWN.findall(exc.diagnostic))
        if not found:
            raise
        return tuple(sorted(found, key=lambda each: _place(text, each)))
    return ()


def _plain(escaped: re.Match[str]) -> str:
    """The character for an escape in a message of Typst."""
    return chr(int(escaped[1], 16)) if escaped[1] else {"n": "\n", "r": "\r", "t": "\t"}.get(escaped[2], escaped[2])


def _place(text: str, part: str) -> int:
    """The position of a part in the text. Parts that Typst normalized and that are not found sort last."""
    at = text.find(part)
    return at if at >= 0 else len(text)


def _texts(value: object) -> Iterator[str]:
    """Every string in a document, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts(each)
