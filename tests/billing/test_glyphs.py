"""Characters that the fonts of invoices cannot draw are named before an invoice has a number."""

import json
import re
import unicodedata
from importlib import resources

import pytest
import typst

from billing.invoicing.render import as_pdf
from billing.invoicing.render.glyphs import _USUAL, _missing, missing_glyphs, problem, undrawn
from schemas.texts.wording import ENGLISH
from tests.billing import drafts, pdf_reader


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param("Acme GmbH & Co. KG", [], id="ASCII"),
        pytest.param("Müller, Škoda, Łódź, Æther, ß, ÿ", [], id="Latin"),
        pytest.param("Привет, Ελλάδα", [], id="Cyrillic and Greek"),
        pytest.param("1\u202f000\u00a0€ \u2212 5 \u2013 “so” …", [], id="our own dashes and spaces"),
        pytest.param("e\u0323\u0302 and \u1ec7", [], id="combining, and composed"),
        pytest.param("日本電気株式会社", list("日本電気株式会社"), id="Japanese"),
        pytest.param("Acme 日 and 本 and 日", ["日", "本"], id="each once, in order"),
        pytest.param("한국, ไทย", ["한", "국", "ไ", "ท", "ย"], id="Korean and Thai"),
        pytest.param("\"日\" \\ '本' #x", ["日", "本"], id="beside quotes and escapes"),
        pytest.param("one\n日\ntwo", ["日"], id="several lines"),
        pytest.param("🙂", ["🙂"], id="an emoji"),
        pytest.param("#panic[日] *x* = y", ["日"], id="text is no markup"),
    ],
)
def test_what_cannot_be_drawn_is_named(text: str, missing: list[str]) -> None:
    """An invoice with boxes for a name went out with a number, and nobody was told."""
    assert missing_glyphs(text) == missing


def test_the_characters_that_are_never_asked_about_are_all_drawn() -> None:
    """The short way is a promise about the fonts; a font that is changed must keep it."""
    usual = [
        c for c in map(chr, range(0x110000)) if unicodedata.category(c) != "Cs" and c != "\n" and _USUAL.fullmatch(c)
    ]
    assert len(usual) > 330
    assert _missing(" ".join(usual)) == ()


@pytest.mark.parametrize("text", ["日", "Łódź", "ไ", "שלום", "\U0001d4b3", "ﷺ", "\u0489x"])
def test_the_answer_is_that_of_the_invoice_itself(text: str) -> None:
    """The same document under PDF/A, where Typst refuses what it cannot draw; the probe must not know other fonts."""
    document = drafts.hostile(text)
    with resources.as_file(resources.files("billing.invoicing.render")) as path:
        try:
            typst.compile(
                str(path / "invoice.typ"), root=str(path), font_paths=[str(path / "fonts")], ignore_system_fonts=True, format="pdf",
                pdf_standards=["a-3b"], sys_inputs={"invoice": json.dumps(document), "texts": json.dumps(ENGLISH.table)}, timestamp=0,
            )  # fmt: skip
        except typst.TypstError as exc:
            refused = set(re.findall(r'the text `"(.+?)"` could not be displayed', exc.diagnostic))
        else:
            refused = set()
    assert set(undrawn(document)) == refused
    assert bool(refused) == bool(missing_glyphs(text))


@pytest.mark.parametrize("made", [drafts.small, lambda: drafts.long(40), lambda: drafts.in_currency("KWD")])
def test_our_own_texts_are_drawn(made: object) -> None:
    """Labels, explanations, groups of three."""
    assert undrawn(made()) == []  # type: ignore[operator]


@pytest.mark.parametrize("where", ["buyer", "seller", "line", "unit", "note"])
def test_every_text_of_a_document_is_looked_at(where: str) -> None:
    """Whoever wrote it, and wherever it stands."""
    document = drafts.small()
    if where in {"buyer", "seller"}:
        document[where]["address"] = ["Weg 2", "日本"]
    elif where == "note":
        document["tax_note"] = "日本"
    else:
        document["lines"][3]["description" if where == "line" else "unit"] = "日本"
    assert undrawn(document) == ["日", "本"]


def test_the_problem_names_partner_characters_and_remedy() -> None:
    """It is read by somebody who does not see the character on his terminal either."""
    message = problem("acme", ["日", "e\u0489"])
    assert message.startswith("partner acme: the invoice cannot show '日' (U+65E5), 'e\u0489' (U+0065 U+0489); ")
    assert message.endswith("in the catalog")


def test_a_box_is_what_a_reader_would_see() -> None:
    """Why it is an error: the plain PDF is made without a word, and its text is there for programs only."""
    used = pdf_reader.fonts(as_pdf(drafts.hostile("日本")))
    assert used
    assert not [font for font in used if re.search("CJK|Noto", font.name)]
