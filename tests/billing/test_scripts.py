"""Documents in the scripts of the extra `fonts`, and what happens without it."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from billing.invoicing import close_checks, stored
from billing.invoicing.render import as_pdf, glyphs, rendered
from billing.periods import billing_period
from billing.rating import bills
from tests.billing import drafts, pdf_reader
from tests.billing.catalogs import book, document
from tests.docs.test_contracts import Used

SCRIPTS = {
    "Noto Sans CJK": "日本電気株式会社 中国移动通信集团 한국통신",
    "Noto Sans Arabic": "شركة الاتصالات المتنقلة",
    "Noto Sans Hebrew": "חברת התקשורת",
    "Noto Sans Thai": "บริษัท โทรคมนาคม กำลังทดสอบ",
    "Noto Sans Devanagari": "दूरसंचार क्षत्रिय प्रार्थना",
}


# The package has a function of the same name.
typefaces = importlib.import_module("billing.invoicing.render.typefaces")


@contextmanager
def without_fonts() -> Iterator[None]:
    """As if the extra was not installed."""
    caches = (typefaces.typefaces, glyphs._missing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typefaces, "_folder", lambda _: None)
        for cached in caches:
            cached.cache_clear()
        yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def no_fonts() -> Iterator[None]:
    """As if the extra was not installed, for the whole test."""
    with without_fonts():
        yield


@pytest.mark.parametrize("family", SCRIPTS)
def test_a_script_is_drawn_with_its_font(family: str) -> None:
    """In names, addresses, references, units, descriptions: nothing is refused, and the font is in the PDF."""
    shown = drafts.hostile(SCRIPTS[family])
    assert glyphs.undrawn(shown) == []
    pdf = as_pdf(shown)
    assert pdf == as_pdf(shown)
    assert pdf_reader.letters_without_a_meaning(pdf) == 0
    names = {font.name for font in pdf_reader.fonts(pdf)}
    assert any(name.startswith(family.replace(" ", "")) for name in names), names


@pytest.mark.parametrize(
    ("country", "family"),
    [("JP", "NotoSansCJKjp"), ("KR", "NotoSansCJKkr"), ("TW", "NotoSansCJKtc"), (None, "NotoSansCJKsc")],
)
def test_the_country_of_the_buyer_chooses_the_forms_of_han_characters(country: str | None, family: str) -> None:
    """The same code point is written in another way in each country."""
    named = {"name": "骨直"} | ({} if country is None else {"country": country})
    assert any(font.name.startswith(family) for font in pdf_reader.fonts(as_pdf(drafts.small(**named))))


def test_latin_documents_have_the_same_bytes_without_the_extra() -> None:
    """Whoever never needs it can verify what others issued, and the other way round."""
    shown = drafts.small(name="Łódź Ελλάδα Привет")
    with without_fonts():
        without = as_pdf(shown)
    assert as_pdf(shown) == without
    foreign = drafts.small(name="日本")
    with without_fonts():
        boxes = as_pdf(foreign)
    assert as_pdf(foreign) != boxes


def blocked(**partner: Any) -> list[str]:
    """The problems of October's invoice of a partner with these fields."""
    parts = document()
    parts["partners"] = [parts["partners"][0] | partner]
    catalog = book(partners=parts["partners"])
    period = billing_period(catalog, catalog.partners[0], "2026-10", None)
    assert period is not None
    found, _ = bills.drafts_of(catalog, [period], Used({"requests": 30}))  # type: ignore[arg-type]
    return close_checks.missing_glyphs(catalog, "north", found).get("acme", [])


def test_a_character_without_a_font_is_refused_with_its_field(no_fonts: None) -> None:
    """Before an invoice has a number, with the extra that would help."""
    (problem,) = blocked(name="日本", contact="ไทย")
    assert problem.startswith("partner acme: no font of invoices can draw '日' (U+65E5), '本' (U+672C) in `name`; ")
    assert "(U+0E44)" in problem
    assert "in `contact`" in problem
    assert "Noto Sans CJK, Noto Sans Arabic" in problem
    assert "pip install 'tollbook[fonts]'" in problem


def test_with_the_extra_only_what_no_font_has_is_refused() -> None:
    """Runes are in none of the packages."""
    assert blocked(name="日本", contact="ไทย") == []
    (problem,) = blocked(name="日本", contact="ᚠ")
    assert problem == (
        "partner acme: no font of invoices can draw 'ᚠ' (U+16A0) in `contact`. Write these fields without them, in the catalog"
    )


def test_verify_names_a_font_that_is_missing(no_fonts: None) -> None:
    """The bytes differ, and the reason is no upgrade."""
    shown = drafts.small(name="日本")
    issued = {"number": "N", "document": json.dumps(shown), "json_sha256": "", "csv_sha256": "", "pdf_sha256": ""}
    found = stored.rendering_problems(issued, rendered(shown))
    assert "was Tollbook, a library or a font upgraded since?" in found[0]
    assert "pdf rendered again" in found[2]
    assert "pip install 'tollbook[fonts]'" in found[2]


def test_thai_is_broken_between_words() -> None:
    """Thai has no spaces. A line that ends inside a word is hard to read."""
    name = "บริษัทโทรคมนาคมแห่งประเทศไทยกำลังทดสอบระบบการออกใบแจ้งหนี้อัตโนมัติ"
    (page, *_) = pdf_reader.pages(as_pdf(drafts.small(address=[name])))
    assert "หนี้อัตโนมัติ" in page.splitlines(), "the second line begins with a word: หนี้, debt"
