"""What a void gives back beside usage: prepaid credits to their ledger, and fees in advance to the months they are for.

October of acme costs 36.33 (see test_corrections), and a month without usage its fee of 31.00.
"""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, history, issuing
from billing.invoicing.corrections import crediting
from billing.rating.issued import entries
from billing.rating.terms.credits import balances, ledger, states
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW

pytestmark = pytest.mark.integration

D = Decimal
LATER = {"2026-10": NOW, "2026-11": NOW + timedelta(days=30), "2026-12": NOW + timedelta(days=61)}


def contract(**terms: Any) -> Catalog:
    """The catalog with terms in the contract of acme, its only partner."""
    acme = document()["partners"][0]
    return book(partners=[acme | terms])


def bill(root: Path, catalog: Catalog, label: str) -> dict[str, Any]:
    """The month closed and issued: the document of acme."""
    made = closing.close(Lake(root), catalog, label, "north", prove=lambda *_: [], now=LATER[label])
    issuing.issue(Lake(root), made, now=LATER[label])
    return next(dict(i.document) for i in issuing.listed(Lake(root)) if i.close_id == made.close_id and i.by_close)


def void(root: Path, number: str) -> None:
    crediting.void(Lake(root), number, reason="wrong company", by="ana", now=NOW)


def used(root: Path, catalog: Catalog) -> tuple[Decimal, Decimal]:
    """What was used of the first credit, and what is left. All accounts together are zero."""
    (partner,) = catalog.partners
    booked = ledger(partner.credits, history.history(Lake(root))["acme"], date(2027, 1, 5))
    assert sum(balances(booked).values()) == 0
    (state,) = states(partner.credits, booked)
    assert (state.paid, state.expired) == (D(50), D(0))
    return state.used, state.left


def problems(root: Path) -> list[str]:
    return [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems]


def test_a_void_gives_back_what_prepaid_credits_paid(root: Path) -> None:
    """October uses 36.33 of 50.00, and November what is left. After the void October uses its part again."""
    catalog = contract(credits=[{"id": "prepaid", "amount": "50", "currency": "EUR", "valid_from": "2026-10-01"}])
    october, november = bill(root, catalog, "2026-10"), bill(root, catalog, "2026-11")
    assert (october["total"], november["total"]) == ("0.00", "17.33")
    assert used(root, catalog) == (D(50), D(0))
    void(root, october["number"])
    assert used(root, catalog) == (D("13.67"), D("36.33"))
    again = bill(root, catalog, "2026-10")
    assert (again["total"], again["replaces"]) == ("0.00", october["number"])
    assert used(root, catalog) == (D(50), D(0))
    assert problems(root) == []


def test_what_a_void_gave_back_pays_for_whichever_month_comes_next(root: Path) -> None:
    """December is billed before October is billed again, so October pays what the credit cannot."""
    catalog = contract(credits=[{"id": "prepaid", "amount": "50", "currency": "EUR", "valid_from": "2026-10-01"}])
    october = bill(root, catalog, "2026-10")
    bill(root, catalog, "2026-11")
    void(root, october["number"])
    assert bill(root, catalog, "2026-12")["total"] == "0.00"
    assert bill(root, catalog, "2026-10")["total"] == "31.00", "36.33 less the 5.33 that December left"
    assert used(root, catalog) == (D(50), D(0))
    assert problems(root) == []


@pytest.mark.parametrize("order", [["2026-10", "2026-11"], ["2026-11", "2026-10"]], ids=" then ".join)
def test_fees_in_advance_are_charged_once_for_each_month_after_voids(root: Path, order: list[str]) -> None:
    """October charged two months of the fee. In whichever order the months are billed again, none has it twice."""
    fee = {"id": "line", "amount": "90", "currency": "EUR", "due": "advance", "valid_from": "2026-10-01"}
    catalog = contract(fees=[fee])
    for number in [bill(root, catalog, label)["number"] for label in ("2026-10", "2026-11")]:
        void(root, number)
    assert fees(root) == {}
    for label in order:
        bill(root, catalog, label)
    assert fees(root) == {"2026-10": D(90), "2026-11": D(90), "2026-12": D(90)}
    assert problems(root) == []


def test_a_void_after_the_next_month_was_billed_leaves_its_fee_in_advance(root: Path) -> None:
    """The void of October gives back October and November. November's own invoice charged December, which stays."""
    fee = {"id": "line", "amount": "90", "currency": "EUR", "due": "advance", "valid_from": "2026-10-01"}
    catalog = contract(fees=[fee])
    october, _ = bill(root, catalog, "2026-10"), bill(root, catalog, "2026-11")
    void(root, october["number"])
    assert fees(root) == {"2026-12": D(90)}
    assert [extra["month"] for extra in bill(root, catalog, "2026-10")["extras"]] == ["2026-10", "2026-11"]
    assert fees(root) == {"2026-10": D(90), "2026-11": D(90), "2026-12": D(90)}
    assert problems(root) == []


def fees(root: Path) -> dict[str, Decimal]:
    """What all documents together charge for the fee, by month, without zeros."""
    found: Counter[str] = Counter()
    for entry in entries(history.history(Lake(root))["acme"]):
        if entry.kind == "fee":
            found[entry.facts["month"]] += entry.amount  # type: ignore[assignment]
    return {month: D(amount) for month, amount in found.items() if amount}
