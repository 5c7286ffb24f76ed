"""A PDF as its readers see it, by PDFium, which draws them in Chrome: its text, every word with its box, its fonts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

_SUBSET = re.compile(r"[A-Z]{6}\+(.+)")


class Word(NamedTuple):
    """One word on a page, and the box it is drawn in, in points from the upper left corner.

    The box has the width of the letters' advances and the height of the font, whichever letters they are.
    """

    page: int
    left: float
    top: float
    right: float
    bottom: float
    text: str


class Font(NamedTuple):
    """A font that draws text. A subset holds only the letters that are used."""

    name: str
    is_embedded: bool
    is_subset: bool


def pages(pdf: bytes) -> list[str]:
    """The text of each page, in the order in which it is drawn, lines apart by a line feed."""
    with _opened(pdf) as document:
        return [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in document]


def words(pdf: bytes) -> list[Word]:
    """What stands between spaces and line breaks, in the order in which it is drawn."""
    found = []
    with _opened(pdf) as document:
        for number, page in enumerate(document):
            height = page.get_height()
            for letters in _words(page.get_textpage()):
                text, lefts, bottoms, rights, tops = zip(*letters, strict=True)
                found.append(
                    Word(number, min(lefts), height - max(tops), max(rights), height - min(bottoms), "".join(text))
                )
    return found


def fonts(pdf: bytes) -> set[Font]:
    """The fonts of every text on every page."""
    with _opened(pdf) as document:
        return {
            Font(subset[1] if subset else name, font.is_embedded, subset is not None)
            for page in document
            for text in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT], max_depth=15)
            for font in [text.get_font()]
            for name in [font.get_base_name()]
            for subset in [_SUBSET.fullmatch(name)]
        }


def letters_without_a_meaning(pdf: bytes) -> int:
    """How many letters are drawn that a program cannot copy or search, because their font does not say what they
    mean.
    """
    with _opened(pdf) as document:
        texts = [page.get_textpage() for page in document]
        return sum(raw.FPDFText_HasUnicodeMapError(text, i) != 0 for text in texts for i in range(text.count_chars()))


@contextmanager
def _opened(pdf: bytes) -> Iterator[pypdfium2.PdfDocument]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        yield document
    finally:
        document.close()  # and its pages with it


def _words(text: pypdfium2.PdfTextPage) -> Iterator[list[tuple[str, float, float, float, float]]]:
    """Each word's letters, with their boxes: left, bottom, right, top."""
    word = []
    for i in range(text.count_chars()):
        letter = chr(raw.FPDFText_GetUnicode(text, i))
        if letter.isspace():
            if word:
                yield word
            word = []
        else:
            word.append((letter, *text.get_charbox(i, loose=True)))
    if word:
        yield word
