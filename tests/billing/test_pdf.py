"""The PDF: the same bytes, only fonts that come with it, every text as it was written, nothing over the edge."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import typst

from billing.invoicing import render
from billing.invoicing.render import as_pdf
from billing.invoicing.render.typefaces import families, typefaces
from tests.billing import drafts, pdf_reader

# A4 less the margins of the template; below, what printers need.
LEFT, TOP, RIGHT, BOTTOM = 56, 40, 595.3 - 56, 841.9 - 11
INVISIBLE = re.compile("[\\s\u200b\u202f\u00a0]+")
FIRST_LAYOUT = "3cb67d08e961c8ef9877c1c863a4d2df36856f4d88f7a2cd28d9dd4972daac2a"  # of the PDF of drafts.small() as it was before layouts had numbers
HOSTILE = [
    "<script>alert(1)</script>",
    '<img src="file:///etc/passwd">',
    '#panic("x")',
    '#read("/etc/passwd")',
    '#image("https://example.com/x.png")',
    '#import "@preview/cetz:0.3.0"',
    "#(1 + 1) #eval(\"1\") #sys.inputs",
    "{{7*7}} {% raw %} ${7*7} <%= 7*7 %>",
    "= 1+1",
    "- item / term: text + number",
    "*bold* _italic_ `raw` ```raw```",
    "$ x^2 $ $math$",
    "@reference <label> [content] ~ -- ---",
    "// comment /* comment */",
    "\\u{41} \\# \\ \\\\",
    "https://example.com/?a=b#c",
    "\"quoted\" 'single' … “typographic”",
    "%s %d {0} {name} \\n",
]  # fmt: skip


def shown(document: dict[str, Any]) -> str:
    """All text of its PDF, plainly."""
    return plainly("".join(pdf_reader.pages(as_pdf(document))))


def plainly(text: str) -> str:
    """Without what only moves: line breaks, spaces, places where a long word may be broken."""
    return INVISIBLE.sub("", text)


@pytest.mark.integration
def test_the_same_invoice_gives_the_same_bytes() -> None:
    """Dated by the invoice, not by the clock; what was issued can be proved by its hash."""
    first = as_pdf(drafts.small())
    assert first == as_pdf(drafts.small())
    assert first != as_pdf(drafts.small() | {"number": "NM-2026-000043"})
    assert b"D:20261105" in first


def test_all_fonts_come_with_us_or_with_typst() -> None:
    """A machine without fonts gives the same bytes: Inter lies beside the template, the fixed-width one is in typst
    itself.
    """
    fonts = Path(render.__file__).parent / "fonts"
    ours = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(fonts)])
    assert set(ours.families()) == {"Inter"}
    assert set(families()) < set(typefaces().families())
    assert "DejaVu Sans Mono" in typst.Fonts(include_system_fonts=False).families()
    template = (Path(render.__file__).parent / "invoice.typ").read_text()
    assert set(re.findall(r'font: "([^"]+)"', template)) == {"DejaVu Sans Mono"}


def test_fonts_are_embedded() -> None:
    """The reader's machine has other fonts, or none.

    Of each there is what is used, and programs can copy and search all text.
    """
    pdf = as_pdf(drafts.small())
    used = pdf_reader.fonts(pdf)
    assert len(used) == 3
    assert all(re.match("Inter|DejaVu", font.name) and font.is_embedded and font.is_subset for font in used)
    assert pdf_reader.letters_without_a_meaning(pdf) == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stands_there_as_it_was_written(text: str) -> None:
    """Names, addresses, references, units: never markup, never code, never a file or an address that is fetched."""
    # Seller: name, its footer twice over, address, IBAN, note. Buyer: name, address, VAT, reference. Lines: two, a unit
    # twice.
    assert shown(drafts.hostile(text)).count(plainly(text)) >= 12


def test_a_reader_finds_everything_on_the_page() -> None:
    """Number, dates, parties, every line with its parts, total, bank account, quota, evidence."""
    document = drafts.small()
    found = shown(document)
    wanted = [
        "Invoice", document["number"], "5 November 2026", "19 November 2026", "1 \u2013 31 October 2026", "Europe/Berlin", "Acme GmbH",
        "Weg 2", "PO 1", "278132.52 EUR", "to IBAN DE02 1203 0000 0000 2020 51, naming NM-2026-000042", "page 1 of 2", "quota reached",
        "measured 2500000001 response bytes ÷ 1000000000 = 2.500000001 GB · 2.500000001 GB less 0.5 included",
        *(line["description"] for line in document["lines"]), *(p["explanation"] for line in document["lines"] for p in line["parts"]),
        *(line["amount"].replace("-", "−") for line in document["lines"]),  # noqa: RUF001
        document["evidence"]["usage_sha256"], document["evidence"]["catalog_sha256"], document["evidence"]["close_id"],
    ]  # fmt: skip
    assert [text for text in wanted if plainly(text) not in found] == []


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(drafts.small, id="small"),
        pytest.param(lambda: drafts.long(60), id="many lines, long words, large amounts"),
        pytest.param(lambda: drafts.hostile("W" * 200), id="a word of two hundred letters everywhere"),
        pytest.param(lambda: drafts.hostile("a b " * 50), id="two hundred letters in short words"),
    ],
)
def test_nothing_leaves_the_page_or_lies_over_another(document: Any) -> None:
    """Every word within the margins, no two words on one spot, whatever the catalog allows."""
    found = pdf_reader.words(as_pdf(document()))
    assert len(found) > 100
    outside = [w for w in found if w.left < LEFT or w.right > RIGHT or w.top < TOP or w.bottom > BOTTOM]
    assert outside == []
    over = [
        (one.text, other.text)
        for i, one in enumerate(found)
        for other in found[i + 1 :]
        if one.page == other.page
        and min(one.right, other.right) - max(one.left, other.left) > 1
        and min(one.bottom, other.bottom) - max(one.top, other.top) > 4
    ]
    assert over == []


@pytest.mark.parametrize("address", range(5))
def test_many_lines_fill_many_pages_and_each_line_stays_whole(address: int) -> None:
    """The head of the table stands on every page; a line's name and its last part are on one, wherever the page
    ends.
    """
    document = drafts.long(60)
    document["buyer"]["address"] = document["buyer"]["address"][1:][:address]
    pages = pdf_reader.pages(as_pdf(document))
    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in page
        names = len(re.findall(r"^Line \d+:", page, re.MULTILINE))
        assert page.count("tier 1: up to 10") == page.count("tier 2: above 10") == names
        assert "DESCRIPTION" in page or not names
    assert sum(len(re.findall(r"^Line \d+:", page, re.MULTILINE)) for page in pages) == 58


@pytest.mark.parametrize("lines", range(3, 17))
def test_the_total_is_never_alone_on_a_page(lines: int) -> None:
    """The last line comes along, wherever the page ends."""
    pages = pdf_reader.pages(as_pdf(drafts.long(lines)))
    (page,) = [page for page in pages if re.search("^Sum of ", page, re.MULTILINE)]
    assert "Data delivered" in page
    assert "DESCRIPTION" in page


def test_a_document_of_an_earlier_close_keeps_its_bytes() -> None:
    """It names no layout. If a version of Typst changes these bytes, it changes issued documents as well."""
    first = drafts.small()
    del first["evidence"]["layout"]
    assert hashlib.sha256(as_pdf(first)).hexdigest() == FIRST_LAYOUT


@pytest.mark.integration
def test_a_line_with_more_parts_than_a_page_holds_is_drawn() -> None:
    """A rate card with a hundred tiers: the line breaks over pages instead of running out of one."""
    document = drafts.small()
    line = next(line for line in document["lines"] if line["model"] == "graduated")
    line["parts"] = [{**line["parts"][0], "explanation": f"tier {n}"} for n in range(1, 101)]
    text = "\n".join(pdf_reader.pages(as_pdf(document)))
    assert [n for n in range(1, 101) if not re.search(rf"^tier {n}\b", text, re.MULTILINE)] == []


@pytest.mark.parametrize(("currency", "total"), [("JPY", "1578JPY"), ("KWD", "1578.115KWD")])
def test_money_has_the_decimals_of_its_currency(currency: str, total: str) -> None:
    """Amount due, sum and total."""
    assert shown(drafts.in_currency(currency)).count(total) == 3
