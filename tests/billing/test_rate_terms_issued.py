"""An invoice of rates with terms, through a lake: closed, issued, proved, rendered, and credited by quantity.

October of acme has 12 requests and 1.2 GB. Requests are sold in begun sets of five at 2.00, one of them free, with 10 %
off: 3 sets less 1 are 4.00, less 0.40. Data costs at least 20.00: 1.2 less 0.5 free at 0.12 is 0.084.
"""

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.closing import Refused
from billing.invoicing.corrections import crediting
from billing.invoicing.corrections.crediting import CreditRequest
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW
from tests.billing.pdf_reader import words

pytestmark = pytest.mark.integration

ACME = "NM-2026-000001"
SETS = {"op": "divide", "factor": "5", "round": "ceiling", "unit": "sets"}


def with_terms(**partner: Any) -> Catalog:
    parts = copy.deepcopy(document())
    fee, requests, egress = parts["rate_cards"][0]["versions"][0]["rates"]
    requests |= {
        "price": {"model": "per_unit", "unit_price": "2"},
        "unit_conversion": SETS,
        "free_units": "1",
        "discounts": [{"percent": "10", "description": "Partner price"}],
    }
    egress["minimum"] = "20"
    parts["partners"][0] |= partner
    return book(
        partners=parts["partners"],
        rate_cards=[
            {**parts["rate_cards"][0], "versions": [{"valid_from": "2026-01-01", "rates": [fee, requests, egress]}]}
        ],
    )


def issue(root: Path, **partner: Any) -> dict[str, dict[str, Any]]:
    made = closing.close(Lake(root), with_terms(**partner), "2026-10", "north", prove=lambda *_: [], now=NOW)
    return {i.partner_id: dict(i.document) for i in issuing.issue(Lake(root), made, now=NOW).invoices}


def credited(root: Path, quantity: str) -> list[str]:
    asked = CreditRequest(line=2, quantity=Decimal(quantity))
    note = crediting.credit(Lake(root), ACME, asked, reason="test traffic", by="ana", now=NOW)
    return [f"{line['amount']} {line['quantity']} {line['unit']}" for line in note.document["lines"]]


def test_discounts_minimum_and_conversion_are_parts_of_their_line(root: Path) -> None:
    """The parts sum to the line, the document says what was counted, and its proof holds."""
    found = issue(root)["acme"]
    _, requests, egress = found["lines"]
    assert (requests["amount"], requests["quantity"], requests["unit"]) == ("3.60", "3", "sets")
    assert requests["converted_from"] == {"quantity": "12", "unit": "requests"}
    assert requests["conversion"] == {"op": "divide", "factor": "5", "round": "ceiling", "places": 0}
    assert (requests["included"], requests["billed_quantity"]) == ("1", "2")
    assert [(part["label"], part["explanation"], part["amount"]) for part in requests["parts"]] == [
        ("usage", "per unit", "4"),
        ("percentage_discount", "Partner price", "-0.4"),
    ]
    assert [(part["label"], part["amount"]) for part in egress["parts"]] == [
        ("usage", "0.084"),
        ("minimum_top_up", "19.916"),
    ]
    assert egress["amount"] == "20.00"
    assert [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems] == []
    text = " ".join(word.text for word in words((root / "documents" / f"{ACME}.pdf").read_bytes()))
    assert "Partner price" in text
    assert "up to the minimum of 20 a month" in text


def test_a_converted_quantity_is_credited_as_it_was_counted(root: Path) -> None:
    """Two of twelve requests end a set, so 1.80 come back; one more ends none."""
    issue(root)
    assert credited(root, "2") == ["-1.80 -2 requests"]
    with pytest.raises(Refused, match="more than is left of line 2: 10 requests"):
        credited(root, "11")


def test_a_discount_of_a_meter_says_that_the_limits_of_the_rate_come_after_it(root: Path) -> None:
    """Data is at its minimum, so nothing is taken off it. Requests cost 20.00 of 24.00; less 25 %, they cost 18.00."""
    limits = {"meter": "requests", "price": {"model": "per_unit", "unit_price": "2"}, "maximum": "20"}
    found = issue(
        root,
        prices=[{"valid_from": "2026-01-01", "currency": "EUR", "rates": [limits]}],
        discounts=[{"meter": meter, "percent": "25", "valid_from": "2026-01-01"} for meter in ("requests", "egress")],
    )["acme"]
    (discount,) = found["extras"]
    assert (discount["base_before_limits"], discount["percent"], discount["amount"]) == ("24.00", "25", "-2.00")
    text = " ".join(word.text for word in words((root / "documents" / f"{ACME}.pdf").read_bytes()))
    assert "before the limits of the rate" in text, text[text.index("25 %") :][:200]
    assert [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems] == []
