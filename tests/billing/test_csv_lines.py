"""The CSV of an invoice: what a spreadsheet adds up is the total, and every row is known by its partner."""

import csv
import io
import re
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from billing.invoicing.render.cells import text_cell
from billing.invoicing.render.csv_lines import COLUMNS, as_csv
from tests.billing import drafts
from tests.billing.formulas import FORMULAS, HARMLESS
from tests.billing.test_document import GOLDEN, NUMBER, STARTS, agrees

ALL = [
    pytest.param(drafts.small, id="every price model"),
    pytest.param(lambda: drafts.in_currency("JPY"), id="yen"),
    pytest.param(lambda: drafts.in_currency("KWD"), id="dinars"),
    pytest.param(lambda: drafts.long(40), id="long"),
    pytest.param(lambda: drafts.hostile('=1+1 "x", ;\u202f\u00a0y'), id="hostile"),
]


def rows(document: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(document).decode(), newline="")))


def test_the_csv_of_a_small_invoice_is_the_golden_one() -> None:
    """One row a line; RFC 4180."""
    agrees("invoice-lines.csv", as_csv(drafts.small()))


@pytest.mark.parametrize("made", ALL)
def test_the_sum_of_the_amounts_is_the_total(made: Any) -> None:
    """With rows of parts and totals between the lines a pivot table told finance three times what was billed."""
    document = made()
    found = rows(document)
    assert sum(Decimal(row["amount"]) for row in found) == Decimal(document["total"])
    assert len(found) == len(document["lines"])
    assert [row["position"] for row in found] == [str(n + 1) for n in range(len(found))]


def test_a_program_adds_it_up_without_being_told_anything() -> None:
    """As whoever loads all invoices of a year does."""
    csv_file = GOLDEN / "invoice-lines.csv"
    query = f"SELECT sum(amount) FROM read_csv('{csv_file}', types={{'amount': 'DECIMAL(18,2)'}})"
    assert duckdb.sql(query).fetchall() == [(Decimal(drafts.small()["total"]),)]


@pytest.mark.parametrize("made", ALL)
def test_every_row_is_whole_and_says_whose_it_is(made: Any) -> None:
    """No cell that only another row explains."""
    document = made()
    for row, line in zip(rows(document), document["lines"], strict=True):
        assert tuple(row) == COLUMNS
        assert (row["number"], row["partner_id"]) == (document["number"], document["buyer"]["id"])
        assert (row["period"], row["currency"]) == (document["period"]["label"], document["currency"])
        assert (row["first_day"], row["last_day"]) == (line["first_day"], line["last_day"])
        for name in ("quantity", "included", "billed_quantity", "exact_amount", "amount"):
            assert NUMBER.fullmatch(row[name]), name
            assert Decimal(row[name]) == Decimal(line[name])
        assert Decimal(row["quantity"]) - Decimal(row["included"]) == Decimal(row["billed_quantity"])


@pytest.mark.parametrize("made", ALL)
def test_there_is_no_space_but_the_plain_one(made: Any) -> None:
    """`packages of 1 000` with a thin space was found by no search, and shown as a box by old spreadsheets."""
    assert set(re.findall(r"\s", as_csv(made()).decode())) <= {" ", "\r", "\n"}


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_no_cell_is_a_formula(text: str) -> None:
    """Whichever separator a spreadsheet splits at: what begins like a formula is a number."""
    document = drafts.small()
    document["buyer"]["name"] = text
    for line in document["lines"]:
        line |= {"description": text, "unit": text, "meter": text}
    content = as_csv(document).decode()
    for delimiter in ",;\t|\n\r":
        cells = content.replace("\n", delimiter).replace("\r", delimiter).split(delimiter)
        cells += [cell.strip(' "') for cell in cells]
        assert all(NUMBER.fullmatch(cell) for cell in cells if cell[:1] in STARTS)


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_other_text_is_left_alone(text: str) -> None:
    """A name with a hyphen is no formula, and comes back from the file as it was."""
    document = drafts.small()
    document["buyer"]["name"] = text
    assert text_cell(text) == text
    assert rows(document)[0]["partner"] == text


def test_disarmed_text_is_still_to_be_read() -> None:
    """Nothing is taken away; a quotation mark is put before what would run."""
    for text in FORMULAS:
        assert text_cell(text).replace("'", "") == text.replace("'", "")


def test_a_rebate_stays_a_number() -> None:
    """A minus sign alone makes no formula: amounts below nothing must add up in a spreadsheet."""
    (rebate,) = [row for row in rows(drafts.small()) if row["description"] == "Export rebate"]
    assert (rebate["exact_amount"], rebate["amount"]) == ("-1.5", "-1.50")
