"""Documents in German: every text of ours is German, the catalog's texts and the numbers for machines stay."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing, render
from billing.invoicing.corrections import records
from billing.invoicing.corrections.credit_note import credit_note
from billing.invoicing.corrections.records import CreditedLine
from lake.lake import Lake
from schemas.texts.wording import ENGLISH, wording
from tests.billing import drafts, pdf_reader
from tests.billing.catalogs import book, document
from tests.billing.lakes import books, land, requests
from tests.billing.test_contract_documents import CONTRACT, made

GERMAN = wording("de")
# Words that are the same in both languages, and texts that are words of the catalog of the test or of its names.
SAME = {"Partner", "requests", "Usage", "usage"}


def text_of(document: dict[str, Any]) -> str:
    """All text of its PDF, with plain spaces."""
    return " ".join("\n".join(pdf_reader.pages(render.as_pdf(document))).replace("\u202f", " ").split())


def credited(original: dict[str, Any]) -> dict[str, Any]:
    """A credit note over a quantity of a line and an amount of the whole."""
    lines = [
        CreditedLine("NM-2026-000042", 2, Decimal(10), Decimal("5.00")),
        CreditedLine("NM-2026-000042", None, None, Decimal(1)),
    ]
    row = {"number": "NM-2026-000042", "json_sha256": "", "partner_id": "acme", "document": json.dumps(original)}
    correction = records.correction(
        "credit", row, lines, asked={}, reason="Zu viel berechnet", by="a", now=datetime(2026, 12, 1, tzinfo=UTC)
    )
    return credit_note(
        correction, {"NM-2026-000042": original}, number="NM-CN-2026-000001", issued_on=date(2026, 12, 1)
    )


def german(kind: str) -> dict[str, Any]:
    """A document of each kind in German."""
    if kind == "contract":
        return made(CONTRACT | {"language": "de"})
    small = drafts.small(language="de")
    return credited(small) if kind == "credit_note" else small


@pytest.mark.parametrize("kind", ["invoice", "credit_note", "contract"])
def test_no_text_of_ours_stays_english(kind: str) -> None:
    """Each part of an English text between its places; names and words of the catalog are not ours."""
    found = text_of(german(kind))
    ours = {part.strip(" .,:;()=") for text in ENGLISH.table.values() for part in re.split(r"\{\w+\}", text)}
    german_parts = {part.strip(" .,:;()=") for text in GERMAN.table.values() for part in re.split(r"\{\w+\}", text)}
    left = [
        part for part in ours - german_parts - SAME if len(part) > 4 and re.search(rf"\b{re.escape(part)}\b", found)
    ]
    assert left == []


def test_numbers_and_days_are_german() -> None:
    """Amounts, quantities, unit prices, days: on the PDF alone."""
    found = text_of(german("invoice"))
    shown = (
        "278.132,52 EUR",
        "2,500000001 GB",
        "5. November 2026",
        "1. \u2013 31. Oktober 2026",
        "\u00d7 0,125",
        "Seite 1 von 2",
    )
    assert [text for text in shown if text not in found] == []
    assert "über 10" in found


def test_machines_read_the_same_in_every_language() -> None:
    """Fields and numbers of JSON and CSV differ in nothing but texts, and the JSON names the language."""
    english, other = drafts.small(), german("invoice")
    assert (other.pop("language"), "language" in english) == ("de", False)
    assert list(other) == list(english)
    numbers = ("quantity", "billed_quantity", "exact_amount", "amount", "currency", "first_day")
    rows = [list(csv.DictReader(io.StringIO(render.as_csv(each).decode()))) for each in (english, other)]
    assert [[row[n] for n in numbers] for row in rows[0]] == [[row[n] for n in numbers] for row in rows[1]]
    told = [{p["explanation"] for line in each["lines"] for p in line["parts"]} for each in (english, other)]
    assert {"je Einheit", "Stufe 1: bis 10", "Stufe 2: über 10"} <= told[1]
    assert "per unit" in told[0]
    assert not told[0] & told[1]


def test_a_credit_note_has_the_language_of_its_invoice() -> None:
    """The partner reads both."""
    note = german("credit_note")
    assert note["language"] == "de"
    assert note["lines"][1]["description"] == "Gutschrift"
    assert "Rechnungskorrektur" in text_of(note)
    assert "language" not in credited(drafts.small())
    assert json.loads(render.as_json(note))["reason"] == "Zu viel berechnet"


def test_an_adjustment_is_german_as_its_invoice(tmp_path: Path) -> None:
    """A document of its own, about a month that is issued."""
    parts = document()
    catalog = book(partners=[parts["partners"][0] | {"language": "de"}])
    root, now = land(tmp_path / "lake", requests(12, "2026-10-05T12:00Z")), datetime(2026, 11, 5, tzinfo=UTC)
    issuing.issue(
        Lake(root), closing.close(Lake(root), catalog, "2026-10", "north", prove=books(root), now=now), now=now
    )
    land(root, requests(2, "2026-10-06T12:00Z"), "late")
    late = closing.close_late_usage(Lake(root), "2026-10", "north", prove=books(root), now=now)
    assert late is not None
    issuing.issue(Lake(root), late, now=now)
    (shown,) = [each.document for each in issuing.listed(Lake(root)) if each.kind == "adjustment"]
    found = text_of(dict(shown))
    assert shown["reason"] == "nachträglich erfasste Nutzung"
    for words in (
        "Nachberechnung",
        "Korrigiert Rechnung NM-2026-000001",
        "14 statt 12",
        "Grund: nachträglich erfasste Nutzung.",
    ):
        assert words in found
    assert [checked.problems for checked in issuing.verify(Lake(root))] == [[], []]
