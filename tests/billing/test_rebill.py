"""Rebill: an invoice is voided and billed again by a corrected catalog, in one commit.

The amounts are worked out by hand. October of acme is NM-2026-000001: a fee of 31.00, 12 requests for 5.25 (ten at 0.5,
further ones at 0.125), and 1.2 GB less 0.5 free at 0.12, which is 0.08: 36.33 EUR.
"""

import contextlib
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.closing import Refused
from billing.invoicing.corrections import crediting, rebilling
from billing.invoicing.corrections.crediting import CreditRequest
from billing.invoicing.corrections.rebilling import Person, Rebilled
from billing.invoicing.unbilled import unbilled
from billing.rating.differences import LineDifference, Side
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, requests
from tests.lake.faulty import FaultyStore, Killed

pytestmark = pytest.mark.integration

D = Decimal
ACME = "NM-2026-000001"


def cheaper(price: str = "0.25") -> Catalog:
    """The catalog with another price of the first ten requests."""
    card = document()["rate_cards"][0]
    card["versions"][0]["rates"][1]["price"]["tiers"][0]["unit_price"] = price
    return book(rate_cards=[card])


def rebill(root: Path | Store, catalog: Catalog | None = None, number: str = ACME) -> Rebilled:
    person = Person("ana", "wrong price")
    return rebilling.rebill(Lake(root), number, catalog or cheaper(), person, prove=lambda *_: [], now=NOW)


def totals(root: Path) -> dict[str, str]:
    return {issued.number: issued.document["total"] for issued in issuing.listed(Lake(root))}


def problems(root: Path) -> list[str]:
    return [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems]


def test_a_rebill_voids_and_bills_again_and_says_what_differs(issued: Path) -> None:
    """12 requests are 2.50 and 0.25. Zeta's invoice of the same month is not touched."""
    found = rebill(issued)
    assert found.note.number == "NM-CN-2026-000001"
    assert found.invoice is not None
    assert (found.invoice["number"], found.invoice["total"]) == ("NM-2026-000003", "33.83")
    assert found.invoice["replaces"] == ACME
    assert found.differences == [
        LineDifference("API requests", "requests", Side(D(12), D("5.25")), Side(D(12), D("2.75")))
    ]
    assert totals(issued) == {
        ACME: "36.33",
        "NM-2026-000002": "32.11",
        "NM-2026-000003": "33.83",
        "NM-CN-2026-000001": "-36.33",
    }
    assert unbilled(Lake(issued)) == []
    assert problems(issued) == []


def test_the_same_rebill_again_changes_nothing(issued: Path) -> None:
    """The same documents are shown. Another catalog needs the number of the new invoice."""
    first = rebill(issued)
    again = rebill(issued)
    assert not again.note.is_new
    assert (again.note.number, again.invoice, again.differences) == (
        first.note.number,
        first.invoice,
        first.differences,
    )
    with pytest.raises(Refused, match=f"{ACME} was voided by credit note NM-CN-2026-000001; nothing of it is left"):
        rebill(issued, cheaper("0.1"))
    second = rebill(issued, cheaper("0.1"), "NM-2026-000003")
    assert second.invoice is not None
    assert second.invoice["total"] == "32.33"
    assert problems(issued) == []


def test_what_was_credited_is_not_credited_again_and_late_usage_is_billed(issued: Path) -> None:
    """6.33 was credited. 19 requests are 2.50 and 1.125, so 3.63."""
    crediting.credit(Lake(issued), ACME, CreditRequest(amount=D("6.33")), reason="outage", by="ana", now=NOW)
    land(issued, requests(7, "2026-10-20T00:00Z", response_bytes=0), "late")
    found = rebill(issued)
    assert found.invoice is not None
    assert (found.note.document["total"], found.invoice["total"]) == ("-30.00", "34.71")
    assert sum(map(D, totals(issued).values())) == D("32.11") + D("34.71")
    assert problems(issued) == []


def test_a_catalog_that_cannot_bill_the_period_voids_nothing(issued: Path) -> None:
    """The invoice stays valid, and the message says what the catalog lacks."""
    parts = document()
    parts["partners"][0]["plans"][0]["valid_from"] = "2026-10-15"
    with pytest.raises(Refused, match="while it has no plan"):
        rebill(issued, book(**parts))
    with pytest.raises(Refused, match=f"partner acme of {ACME} is not invoiced by the catalog; void {ACME} instead"):
        rebill(issued, book(partners=document()["partners"][1:]))
    assert totals(issued) == {ACME: "36.33", "NM-2026-000002": "32.11"}
    assert closing.reopened_periods(Lake(issued)) == []
    assert problems(issued) == []


@pytest.mark.slow
def test_another_legal_entity_can_bill_it(issued: Path) -> None:
    """The old seller gives the credit note, and the new one the invoice."""
    parts: dict[str, Any] = document()
    parts["legal_entities"].append({**parts["legal_entities"][0], "id": "south", "invoice_prefix": "SM"})
    parts["partners"][0]["legal_entity"] = "south"
    found = rebill(issued, book(**parts))
    assert found.invoice is not None
    assert (found.note.number, found.note.document["seller"]["id"]) == ("NM-CN-2026-000001", "north")
    assert (found.invoice["number"], found.invoice["seller"]["id"]) == ("SM-2026-000001", "south")
    assert problems(issued) == []


@pytest.mark.slow
def test_a_kill_at_any_step_voids_and_bills_or_does_neither(issued: Path, tmp_path: Path) -> None:
    """No state has a voided invoice without its new one; a repeated command gives the same two documents."""
    nth = 0
    while True:
        nth += 1
        root = shutil.copytree(issued, tmp_path / str(nth))
        store = FaultyStore(LocalStore(root), nth)
        with contextlib.suppress(Killed):
            rebill(store)
        assert len(totals(root)) in (2, 4)
        assert closing.reopened_periods(Lake(root)) == []
        assert len(totals(rebill_again(root))) == 4
        if not store.struck:
            return


def rebill_again(root: Path) -> Path:
    found = rebill(root)
    assert found.invoice is not None
    assert (found.note.number, found.invoice["number"]) == ("NM-CN-2026-000001", "NM-2026-000003")
    assert problems(root) == []
    return root
