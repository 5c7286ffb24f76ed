"""Invoice documents: JSON and CSV as golden files, text that no spreadsheet runs, decimals of every currency."""

import json
import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

from billing.invoicing.render import as_csv, as_json
from schemas.money import money
from tests.billing import drafts

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


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [("0", "EUR", "0.00"), ("-1.5", "EUR", "-1.50"), ("1E+3", "JPY", "1000"), ("0.001", "KWD", "0.001")],
)
def test_money_is_written_in_full(amount: str, currency: str, shown: str) -> None:
    """No exponent, all decimals."""
    assert money(Decimal(amount), currency) == shown
