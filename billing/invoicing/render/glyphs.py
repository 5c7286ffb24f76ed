"""Which characters of an invoice no font of ours can draw: a PDF shows an empty box for each, and says nothing.

Typst itself decides. Under PDF/A it refuses text without a glyph and names every character of it; our own PDF is a plain one, where
the same text passes. So a small document with the text, in the template's fonts, is made under PDF/A and thrown away.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import typst

from billing.invoicing.render.typefaces import typefaces

_PROBE = b"""#set text(font: "Inter", fallback: true)
#for line in json(bytes(sys.inputs.lines)) { [#line #parbreak() #strong(line) #parbreak() #upper(line) #parbreak()] }
"""
_UNDRAWN = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_ESCAPED = re.compile(r"\\u\{([0-9a-f]+)\}|\\(.)")
_KEPT = 4096
# Latin letters, and the dashes, spaces, quotes and the euro sign of our own texts: known to be drawn, so that hardly any invoice is asked about.
_USUAL = re.compile("[\n -~\u00a0-\u017f\u2010-\u2015\u2018-\u201f\u2026\u202f\u20ac\u2212]*")


def missing_glyphs(text: str) -> list[str]:
    """The characters of `text` that the invoice's fonts cannot draw, each once, in order; empty where all of it is drawn.

    Both weights are asked. What combines is one entry with the character it stands on.
    """
    return [] if _USUAL.fullmatch(text) else list(_missing(text))


def undrawn(document: Mapping[str, Any]) -> list[str]:
    """The characters of an invoice document that cannot be drawn: of every text in it that a person chose."""
    return missing_glyphs("\n".join(dict.fromkeys(_texts(document))))


def problem(partner_id: str, missing: Sequence[str]) -> str:
    """What is said of a partner whose invoice holds such characters: they are named, and where to change them."""
    named = ", ".join(f"{shown!r} ({' '.join(f'U+{ord(c):04X}' for c in shown)})" for shown in missing)
    return (
        f"partner {partner_id}: the invoice cannot show {named}; the fonts of invoices have no such characters. Write the names, addresses and "
        "descriptions of this invoice without them, in the catalog"
    )


@lru_cache(_KEPT)
def _missing(text: str) -> tuple[str, ...]:
    try:
        typst.compile(
            _PROBE,
            font_paths=typefaces(),
            format="pdf",
            pdf_standards=["a-3b"],
            sys_inputs={"lines": json.dumps(text.split("\n"))},
            timestamp=0,
        )
    except typst.TypstError as exc:
        found = dict.fromkeys(_ESCAPED.sub(_plain, each) for each in _UNDRAWN.findall(exc.diagnostic))
        if not found:
            raise
        return tuple(sorted(found, key=lambda each: _place(text, each)))
    return ()


def _plain(escaped: re.Match[str]) -> str:
    """A character that Typst's message shows as an escape."""
    return chr(int(escaped[1], 16)) if escaped[1] else {"n": "\n", "r": "\r", "t": "\t"}.get(escaped[2], escaped[2])


def _place(text: str, part: str) -> int:
    """Where a part first stands in the text; behind all that are found there, if it was changed on its way."""
    at = text.find(part)
    return at if at >= 0 else len(text)


def _texts(value: object) -> Iterator[str]:
    """Every text in a document, whatever it stands in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts(each)
