"""What a contract says, on the document, the CSV and the PDF. Without a contract they stay as they were."""

import csv
import io
from decimal import Decimal
from typing import Any

from billing.invoicing import render
from tests.billing import drafts, pdf_reader
from tests.docs import test_contracts

OCTOBER = {"valid_from": "2026-10-01"}
CONTRACT: dict[str, Any] = {
    "country": "DE",
    "contact": "Accounts Payable",
    "payment_terms_days": "45",
    "purchase_orders": [{"number": "PO 77120", **OCTOBER}],
    "discounts": [
        {"percent": "10", "description": "Partner discount", **OCTOBER},
        {"meter": "requests", "amount": "25", "currency": "EUR", **OCTOBER},
    ],
    "minimums": [{"amount": "700", "currency": "EUR", **OCTOBER}],
    "commitments": [{"amount": "1000", "currency": "EUR", "term": "month", "overage_factor": "0.9", **OCTOBER}],
    "credits": [{"id": "a", "amount": "300", "currency": "EUR", **OCTOBER}],
}


def made(terms: dict[str, Any], used: str = "2000 requests, 30 egress") -> dict[str, Any]:
    """The document of October under a contract."""
    _, (issued,) = test_contracts.shown(test_contracts.catalog(terms), [("2026-10", used)])
    return dict(issued.content)


def test_the_document_names_what_the_contract_says_of_the_buyer() -> None:
    """The seller's country is missing in the catalog, so it is missing here."""
    found = made(CONTRACT)
    buyer = {name: found["buyer"][name] for name in ("country", "contact", "purchase_order")}
    assert buyer == {"country": "DE", "contact": "Accounts Payable", "purchase_order": "PO 77120"}
    assert (found["issued_on"], found["due_on"], found["payment_terms_days"]) == ("2026-12-31", "2027-02-14", 45)
    assert "country" not in found["seller"]


def test_a_document_without_terms_has_no_field_of_them() -> None:
    """Invoices that were issued before keep their bytes."""
    found = drafts.small()
    assert "extras" not in found
    assert not {"country", "contact", "purchase_order"} & found["buyer"].keys()


def test_every_amount_is_a_row_of_the_csv() -> None:
    """The sum of its column `amount` stays the total."""
    found = made(CONTRACT)
    rows = list(csv.DictReader(io.StringIO(render.as_csv(found).decode())))
    assert [row["description"] for row in rows][3:] == [
        "Discount",
        "Partner discount",
        "Minimum of the month",
        "Commitment of 1000 EUR, 2026-10 to 2026-10",
        "Prepaid credit",
    ]
    assert [int(row["position"]) for row in rows] == list(range(1, 9))
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(found["total"])


def test_the_pdf_shows_each_amount_with_what_it_rests_on() -> None:
    """A partner sees why it pays less, or more, than the lines."""
    text = " ".join(" ".join(pdf_reader.pages(render.as_pdf(made(CONTRACT)))).split())
    for shown in (
        "Accounts Payable", "Your order: PO 77120", "10 % of 377.40 EUR", "limit 700.00 EUR", "\u221225.00 EUR",
        "committed 1 000.00 EUR, billed 700.00 EUR, above it \u00d7 0.9", "balance 300.00 EUR before, 0.00 EUR after", "Sum of 8 lines",
    ):  # fmt: skip
        assert shown in text.replace("\u202f", " ").replace("\u00a0", " "), shown


def test_a_bill_may_have_no_line_at_all() -> None:
    """A commitment is due when nothing was used, without any plan."""
    terms = {"commitments": CONTRACT["commitments"], "plans": []}
    found = made(terms, "0 requests")
    assert (found["lines"], found["total"]) == ([], "1000.00")
    assert "1 000.00 EUR" in pdf_reader.pages(render.as_pdf(found))[0].replace("\u202f", " ").replace("\u00a0", " ")
