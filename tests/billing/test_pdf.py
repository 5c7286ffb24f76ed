"""The PDF: the same bytes, only fonts that come with it, every text as it was written, nothing over the edge."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typst

from billing import render
from billing.render import as_pdf
from tests.billing import drafts

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext (poppler-utils) reads the PDF; it is not installed")  # fmt: skip
# A4 less the margins of the template; below, what printers need.
LEFT, TOP, RIGHT, BOTTOM = 56, 40, 595.3 - 56, 841.9 - 11
INVISIBLE = re.compile("[\\s\u200b\u202f\u00a0]+")
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


class Word(NamedTuple):
    """One word on a page, and the box it is drawn in, in points from the upper left corner."""

    page: int
    left: float
    top: float
    right: float
    bottom: float
    text: str


def text_of(document: dict[str, Any], folder: Path, *options: str) -> str:
    (folder / "invoice.pdf").write_bytes(as_pdf(document))
    command = ["pdftotext", *options, str(folder / "invoice.pdf"), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def words(document: dict[str, Any], folder: Path) -> list[Word]:
    box = re.compile(r'<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">(.*?)</word>')
    found = []
    for page, body in enumerate(text_of(document, folder, "-bbox").split("<page ")[1:]):
        found += [Word(page, *(float(g) for g in m.groups()[:4]), m.group(5)) for m in box.finditer(body)]
    return found


def plainly(text: str) -> str:
    """Without what only moves: line breaks, spaces, places where a long word may be broken."""
    return INVISIBLE.sub("", text)


def test_the_same_invoice_gives_the_same_bytes() -> None:
    """Dated by the invoice, not by the clock; what was issued can be proved by its hash."""
    first = as_pdf(drafts.small())
    assert first == as_pdf(drafts.small())
    assert first != as_pdf(drafts.small() | {"number": "NM-2026-000043"})
    assert b"D:20261105" in first


def test_all_fonts_come_with_us_or_with_typst() -> None:
    """A machine without fonts gives the same bytes: Inter lies beside the template, the fixed-width one is in typst itself."""
    fonts = Path(render.__file__).parent / "fonts"
    ours = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(fonts)])
    assert set(ours.families()) == {"Inter"}
    assert "DejaVu Sans Mono" in typst.Fonts(include_system_fonts=False).families()
    template = (Path(render.__file__).parent / "invoice.typ").read_text()
    assert set(re.findall(r'font: "([^"]+)"', template)) == {"Inter", "DejaVu Sans Mono"}


@needs_poppler
def test_fonts_are_embedded(tmp_path: Path) -> None:
    """The reader's machine has other fonts, or none."""
    (tmp_path / "invoice.pdf").write_bytes(as_pdf(drafts.small()))
    listed = subprocess.run(["pdffonts", str(tmp_path / "invoice.pdf")], capture_output=True, text=True, check=True).stdout  # fmt: skip
    lines = listed.splitlines()[2:]
    assert len(lines) == 3
    assert all(re.search(r"\+(Inter|DejaVu)", line) and " yes yes yes " in line for line in lines)


@needs_poppler
@pytest.mark.parametrize("text", HOSTILE)
def test_text_stands_there_as_it_was_written(tmp_path: Path, text: str) -> None:
    """Names, addresses, references, units: never markup, never code, never a file or an address that is fetched."""
    shown = plainly(text_of(drafts.hostile(text), tmp_path, "-raw"))
    # Seller: name, its footer twice over, address, IBAN, note. Buyer: name, address, VAT, reference. Lines: two, a unit twice.
    assert shown.count(plainly(text)) >= 12


@needs_poppler
def test_a_reader_finds_everything_on_the_page(tmp_path: Path) -> None:
    """Number, dates, parties, every line with its parts, total, bank account, quota, evidence."""
    document = drafts.small()
    shown = plainly(text_of(document, tmp_path, "-raw"))
    wanted = [
        "Invoice", document["number"], "5 November 2026", "19 November 2026", "1 \u2013 31 October 2026", "Europe/Berlin", "Acme GmbH",
        "Weg 2", "PO 1", "278132.52 EUR", "to IBAN DE02 1203 0000 0000 2020 51, naming NM-2026-000042", "page 1 of 2", "quota reached",
        "measured 2500000001 response bytes ÷ 1000000000 = 2.500000001 GB · 2.500000001 GB less 0.5 included",
        *(line["description"] for line in document["lines"]), *(p["explanation"] for line in document["lines"] for p in line["parts"]),
        *(line["amount"].replace("-", "−") for line in document["lines"]),  # noqa: RUF001
        document["evidence"]["usage_sha256"], document["evidence"]["catalog_sha256"], document["evidence"]["close_id"],
    ]  # fmt: skip
    assert [text for text in wanted if plainly(text) not in shown] == []


@needs_poppler
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(drafts.small, id="small"),
        pytest.param(lambda: drafts.long(60), id="many lines, long words, large amounts"),
        pytest.param(lambda: drafts.hostile("W" * 200), id="a word of two hundred letters everywhere"),
        pytest.param(lambda: drafts.hostile("a b " * 50), id="two hundred letters in short words"),
    ],
)
def test_nothing_leaves_the_page_or_lies_over_another(tmp_path: Path, document: Any) -> None:
    """Every word within the margins, no two words on one spot, whatever the catalog allows."""
    found = words(document(), tmp_path)
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


@needs_poppler
@pytest.mark.parametrize("address", range(5))
def test_many_lines_fill_many_pages_and_each_line_stays_whole(tmp_path: Path, address: int) -> None:
    """The head of the table stands on every page; a line's name and its last part are on one, wherever the page ends."""
    document = drafts.long(60)
    document["buyer"]["address"] = document["buyer"]["address"][1:][:address]
    pages = text_of(document, tmp_path, "-raw").split("\f")[:-1]
    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in page
        names = len(re.findall(r"^Line \d+:", page, re.MULTILINE))
        assert page.count("tier 1: up to 10") == page.count("tier 2: above 10") == names
        assert "DESCRIPTION" in page or not names
    assert sum(len(re.findall(r"^Line \d+:", page, re.MULTILINE)) for page in pages) == 58


def test_a_line_with_more_parts_than_a_page_holds_is_drawn(tmp_path: Path) -> None:
    """A rate card with a hundred tiers: the line breaks over pages instead of running out of one."""
    document = drafts.small()
    line = next(line for line in document["lines"] if line["model"] == "graduated")
    line["parts"] = [{**line["parts"][0], "explanation": f"tier {n}"} for n in range(1, 101)]
    (tmp_path / "invoice.pdf").write_bytes(as_pdf(document))
    if shutil.which("pdftotext"):
        shown = text_of(document, tmp_path, "-raw")
        assert [n for n in range(1, 101) if not re.search(rf"^tier {n}\b", shown, re.M)] == []


@needs_poppler
@pytest.mark.parametrize(("currency", "total"), [("JPY", "1578JPY"), ("KWD", "1578.115KWD")])
def test_money_has_the_decimals_of_its_currency(tmp_path: Path, currency: str, total: str) -> None:
    """Amount due, sum and total."""
    assert plainly(text_of(drafts.in_currency(currency), tmp_path, "-raw")).count(total) == 3
