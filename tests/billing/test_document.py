"""Invoice documents: JSON and CSV as golden files, text that no spreadsheet runs, decimals of every currency."""

import csv
import io
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.document import grouped, money
from billing.render import as_csv, as_json, text_cell
from tests.billing import drafts
from tests.billing.formulas import FORMULAS, HARMLESS

GOLDEN = Path(__file__).parent.parent / "golden"
NUMBER = re.compile(r"-?\d+(\.\d+)?")
STARTS = set("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def agrees(name: str, content: bytes) -> None:
    """The golden file holds these bytes; with UPDATE_GOLDEN=1 it is written, to be read before it is committed."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(content)
    assert content.decode() == path.read_bytes().decode()


def test_the_json_of_a_small_invoice_is_the_golden_one() -> None:
    """Programs read it: a changed field is a changed contract."""
    agrees("invoice.json", as_json(drafts.small()))


def test_the_csv_of_a_small_invoice_is_the_golden_one() -> None:
    """One row a part, one a line, one for the total; RFC 4180."""
    agrees("invoice.csv", as_csv(drafts.small()))


def test_the_same_invoice_gives_the_same_text() -> None:
    """Issued again, verified years later."""
    assert as_json(drafts.small()) == as_json(drafts.small())
    assert as_csv(drafts.small()) == as_csv(drafts.small())


def test_everything_adds_up_in_the_document_itself() -> None:
    """A reader with nothing but the JSON: parts give the line, lines give the total, no number is a float."""
    document = json.loads(as_json(drafts.small()), parse_float=lambda text: pytest.fail(f"{text} is a float"))
    for line in document["lines"]:
        parts = [Decimal(part["amount"]) for part in line["parts"]]
        assert sum(parts) == Decimal(line["exact_amount"])
        assert all(Decimal(p["quantity"]) * Decimal(p["unit_price"]) == Decimal(p["amount"]) for p in line["parts"])
        assert abs(Decimal(line["amount"]) - Decimal(line["exact_amount"])) <= Decimal("0.005")
    assert sum(Decimal(line["amount"]) for line in document["lines"]) == Decimal(document["total"])


def test_the_days_of_a_line_are_those_its_prices_held() -> None:
    """Both days included, in the partner's zone; the instants beside them are [from, to)."""
    document = drafts.small()
    days = {(line["first_day"], line["last_day"]) for line in document["lines"]}
    assert days == {("2026-10-01", "2026-10-10"), ("2026-10-11", "2026-10-31"), ("2026-10-01", "2026-10-31")}
    assert (document["period"]["first_day"], document["period"]["last_day"]) == ("2026-10-01", "2026-10-31")
    assert document["lines"][-1]["to"] == "2026-11-01T00:00:00+01:00"


@pytest.mark.parametrize(
    ("currency", "total"), [("JPY", "1578"), ("EUR", "1578.12"), ("KWD", "1578.115"), ("CLF", "1578.1150")]
)
def test_amounts_have_the_decimals_of_their_currency(currency: str, total: str) -> None:
    """None for yen, three for dinars, in every amount that is money; prices and quantities keep theirs."""
    document = drafts.in_currency(currency)
    assert document["total"] == total
    places = {
        len(amount.partition(".")[2]) for amount in [document["total"], *(line["amount"] for line in document["lines"])]
    }
    assert places == {len(total.partition(".")[2])}
    (last,) = [row for row in rows(as_csv(document)) if row["description"] == "total"]
    assert (last["amount"], last["currency"]) == (total, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [("0", "EUR", "0.00"), ("-1.5", "EUR", "-1.50"), ("1E+3", "JPY", "1000"), ("0.001", "KWD", "0.001")],
)
def test_money_is_written_in_full(amount: str, currency: str, shown: str) -> None:
    """No exponent, all decimals."""
    assert money(Decimal(amount), currency) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [("1234567.5", "1\u202f234\u202f567.5"), ("-0.5", "-0.5"), ("-1234", "-1\u202f234"), ("999", "999"), ("1E+6", "1\u202f000\u202f000")],
)  # fmt: skip
def test_groups_of_three(number: str, shown: str) -> None:
    """With a space that does not break; the sign and the decimals stay."""
    assert grouped(Decimal(number)) == shown


def rows(content: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=delimiter))


def with_text(text: str) -> dict[str, Any]:
    """A document with `text` wherever a cell shows what a person wrote."""
    document = drafts.small()
    document["buyer"]["name"] = text
    for line in document["lines"]:
        line |= {"description": text, "unit": text, "meter": text}
        for part in line["parts"]:
            part |= {"unit": text, "explanation": text}
    return document


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_no_cell_is_a_formula(text: str) -> None:
    """Whichever separator a spreadsheet splits at, with quotes understood or not: what begins like a formula is a number."""
    content = as_csv(with_text(text)).decode()
    for delimiter in ",;\t|\n\r":
        cells = content.replace("\n", delimiter).replace("\r", delimiter).split(delimiter)
        cells += [cell.strip(' "') for cell in cells]
        assert all(NUMBER.fullmatch(cell) for cell in cells if cell[:1] in STARTS)
    for row in rows(as_csv(with_text(text))):
        assert all(
            NUMBER.fullmatch(cell)
            for cell in row.values()
            if cell.lstrip(" \"',;|")[:1] in STARTS and not cell.startswith("'")
        )


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_other_text_is_left_alone(text: str) -> None:
    """A name with a hyphen is no formula, and comes back from the file as it was."""
    assert text_cell(text) == text
    assert rows(as_csv(with_text(text)))[0]["partner"] == text


def test_disarmed_text_is_still_to_be_read() -> None:
    """Nothing is taken away; a quotation mark is put before what would run."""
    for text in FORMULAS:
        assert text_cell(text).replace("'", "") == text.replace("'", "")


def test_a_rebate_stays_a_number() -> None:
    """A minus sign alone makes no formula: amounts below nothing must add up in a spreadsheet."""
    (rebate,) = [
        r for r in rows(as_csv(drafts.small())) if r["description"] == "Export rebate" and r["part"] == "line total"
    ]
    assert (rebate["exact_amount"], rebate["amount"]) == ("-1.5", "-1.50")
