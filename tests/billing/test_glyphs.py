"""Characters that the fonts of invoices cannot draw are named before an invoice has a number."""

import re
import unicodedata
from importlib import resources

import pytest
import typst

from billing.invoicing.render import as_pdf, inputs, typefaces
from billing.invoicing.render.glyphs import _USUAL, _missing, missing_glyphs, problem, undrawn
from tests.billing import drafts, pdf_reader


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param("Acme GmbH & Co. KG", [], id="ASCII"),
        pytest.param("Müller, Škoda, Łódź, Æther, ß, ÿ", [], id="Latin"),
        pytest.param("Привет, Ελλάδα", [], id="Cyrillic and Greek"),
        pytest.param("1\u202f000\u00a0€ \u2212 5 \u2013 “so” …", [], id="our own dashes and spaces"),
        pytest.param("e\u0323\u0302 and \u1ec7", [], id="combining, and composed"),
        pytest.param("日本電気株式会社, 한국, 中文", [], id="Japanese, Korean, Chinese"),
        pytest.param("شركة الاتصالات, שלום, हिन्दी, กำลัง", [], id="Arabic, Hebrew, Devanagari, Thai"),
        pytest.param("Acme ᚠ and ᚢ and ᚠ", ["ᚠ", "ᚢ"], id="each once, in order"),
        pytest.param("\"ᚠ\" \\ 'ᚢ' #x", ["ᚠ", "ᚢ"], id="beside quotes and escapes"),
        pytest.param("one\nᚠ\ntwo", ["ᚠ"], id="several lines"),
        pytest.param("🙂", ["🙂"], id="an emoji"),
        pytest.param("#panic[ᚠ] *x* = y", ["ᚠ"], id="text is no markup"),
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


@pytest.mark.parametrize("text", ["ᚠ", "日", "Łódź", "ไ", "שלום", "\U0001d4b3", "ﷺ", "\u0489x"])
def test_the_answer_is_that_of_the_invoice_itself(text: str) -> None:
    """The same document under PDF/A, where Typst refuses what it cannot draw; the probe must not know other fonts."""
    document = drafts.hostile(text)
    with resources.as_file(resources.files("billing.invoicing.render")) as path:
        try:
            typst.compile(
                str(path / "invoice.typ"), root=str(path), font_paths=typefaces(), format="pdf",
                pdf_standards=["a-3b"], sys_inputs=inputs(document), timestamp=0,
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
        document[where]["address"] = ["Weg 2", "ᚠᚢ"]
    elif where == "note":
        document["tax_note"] = "ᚠᚢ"
    else:
        document["lines"][3]["description" if where == "line" else "unit"] = "ᚠᚢ"
    assert undrawn(document) == ["ᚠ", "ᚢ"]


def test_the_problem_names_partner_characters_and_remedy() -> None:
    """It is read by somebody who does not see the character on his terminal either."""
    message = problem("acme", {"`name`": ["日", "e\u0489"], "`unit` of meter calls": ["本"]})
    assert message == (
        "partner acme: no font of invoices can draw '日' (U+65E5), 'e\u0489' (U+0065 U+0489) in `name`; "
        "'本' (U+672C) in `unit` of meter calls. Write these fields without them, in the catalog"
    )


def test_a_box_is_what_a_reader_would_see() -> None:
    """Why it is an error: the plain PDF is made without a word, and its text is there for programs only."""
    used = pdf_reader.fonts(as_pdf(drafts.hostile("ᚠᚢ")))
    assert used
    assert not [font for font in used if re.search("CJK|Noto", font.name)]
