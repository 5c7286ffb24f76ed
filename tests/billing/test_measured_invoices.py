"""Invoices over quantities, from a lake: closed, issued, verified, listed by customer, and compared with more."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing, proofs, render, rules, unbilled
from billing.invoicing.closing import Close
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing import pdf_reader
from tests.billing.lakes import NOW, books, land, request
from tests.billing.test_measured_lines import catalog, meter, rate

pytestmark = pytest.mark.integration

METERS = [
    {"id": "tokens", "aggregate": "sum", "quantity": "tokens", "unit": "thousand tokens", "divide_by": "1000", "itemize_by": "customer", "itemize_max": "3"},
    meter("seats", "max"),
    {"id": "users", "aggregate": "unique", "attribute": "customer", "unit": "users"},
]  # fmt: skip
PRICES = {
    "2026-01-01": [rate("tokens", "0.5"), rate("seats", "10"), rate("users", "1")],
    "2026-10-16": [rate("tokens", "1"), rate("seats", "20"), rate("users", "2")],
}


def prompt(day: int, customer: str | None, tokens: str, seats: str = "1", **changes: Any) -> dict[str, Any]:
    quantities = json.dumps({"seats": seats, "tokens": tokens}, separators=(",", ":"))
    attributes = None if customer is None else json.dumps({"customer": customer}, ensure_ascii=False)
    at = f"2026-10-{day:02}T12:00Z"
    return request(at, name=f"{customer}", event_type="prompt", quantities=quantities, attributes=attributes, **changes)


ROWS = [
    prompt(1, "ann", "1500", "7"),
    prompt(2, "bob", "500.5"),
    prompt(3, None, "100"),
    prompt(4, "cy", "20"),
    prompt(5, "ᚠ\\", "1000"),
    prompt(20, "ann", "3000", "4"),
    request("2026-10-21T12:00Z", name="plain"),
]


def closed(root: Path, by: Catalog) -> Close:
    return closing.close(Lake(root), by, "2026-10", "north", prove=books(root), now=NOW)


def test_a_month_is_billed_verified_and_listed_by_customer(tmp_path: Path) -> None:
    """Tokens 3,120.5 at 0.50 a thousand and 3,000 at 1.00; the most seats, 7, at 20; four customers at 2."""
    root, by = land(tmp_path / "lake", ROWS), catalog(METERS, PRICES)
    made = closed(root, by)
    (issued,) = issuing.issue(Lake(root), made, now=NOW).invoices
    document = dict(issued.document)
    assert [(x["meter"], x["quantity"], x["exact_amount"]) for x in document["lines"]] == [
        ("tokens", "3.1205", "1.56025"),
        ("seats", "7", "140"),
        ("users", "4", "8"),
        ("tokens", "3", "3"),
    ]
    assert document["lines"][0]["usage"] == {
        "field": "tokens",
        "aggregate": "sum",
        "sum": "3120.5",
        "divide_by": "1000",
    }
    assert Decimal(document["total"]) == Decimal("152.56")
    first, second = document["appendices"]["values"]
    assert first["rows"] == [
        {"value": "ann", "quantity": "1.5"},
        {"value": "\\u{16a0}\\u{5c}", "quantity": "1"},
        {"value": "bob", "quantity": "0.5005"},
    ]
    assert first["others"] == {"values": 2, "quantity": "0.12"}
    assert sum(Decimal(row["quantity"]) for row in first["rows"]) + Decimal("0.12") == Decimal(first["quantity"])
    assert second["rows"] == [{"value": "ann", "quantity": "3"}]
    assert "others" not in second
    pages = pdf_reader.pages(render.as_pdf(document))
    listed = next(page for page in pages if "Usage by customer" in page)
    assert "2 other values, which are not listed" in listed
    assert [found.problems for found in issuing.verify(Lake(root))] == [[]]


def test_more_that_arrives_is_unbilled_and_the_issued_invoice_stays(tmp_path: Path) -> None:
    """Late usage of measured meters is found as that of others is, at the prices of its month."""
    root, by = land(tmp_path / "lake", ROWS), catalog(METERS, PRICES)
    issuing.issue(Lake(root), closed(root, by), now=NOW)
    land(root, [prompt(25, "dan", "2000", "9")], "late")
    assert [found.problems for found in issuing.verify(Lake(root)) if found.problems] == []
    late = {row.meter: (row.quantity, row.amount) for row in unbilled.unbilled(Lake(root))}
    assert late == {"tokens": (2, 2), "seats": (2, 40), "users": (1, 2)}


def test_a_changed_quantity_is_not_the_usage_of_the_close(tmp_path: Path) -> None:
    """The rollups of both lakes are equal, so only the hash of events can tell."""
    by = catalog(METERS, PRICES)
    made = closed(land(tmp_path / "lake", ROWS), by)
    other = Warehouse(Lake(land(tmp_path / "other", [*ROWS[:-2], prompt(20, "ann", "3001", "4"), ROWS[-1]])))
    same = Warehouse(Lake(land(tmp_path / "same", ROWS)))
    spans = [(p.partner_id, p.start, p.end) for p in rules.periods(made.content)]
    assert proofs.usage(made.content, made.rules.usage_sha256(same, spans, by)) == []
    (problem,) = proofs.usage(made.content, made.rules.usage_sha256(other, spans, by))
    assert "its usage is not what it was at the close" in problem
    assert other.usage_sha256(spans) == same.usage_sha256(spans)


def test_no_customer_can_make_a_bill_that_cannot_be_drawn(tmp_path: Path) -> None:
    """A route that no font has blocks the bill; a value that a client writes does not."""
    root, by = (
        land(tmp_path / "lake", [prompt(1, name, "1") for name in ("ᚠ", "", "\n", "x" * 900, "\\u{16a0}")]),
        catalog(METERS, PRICES),
    )
    (issued,) = issuing.issue(Lake(root), closed(root, by), now=NOW).invoices
    texts = [row["value"] for row in issued.document["appendices"]["values"][0]["rows"]]
    assert all(len(text) <= 200 and text.isprintable() for text in texts)
    assert render.as_pdf(issued.document)
