"""Late usage of settled months: it stands on the partner's next invoice, once, at the prices of its own month.

The amounts are worked out by hand. October of acme is NM-2026-000001: 12 requests for 5.25 (ten at 0.5, further ones at
0.125), and 1.2 GB less 0.5 free at 0.12, which is 0.08.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.closes import Close
from billing.invoicing.closing import Refused
from billing.invoicing.corrections import crediting
from billing.invoicing.unbilled import unbilled
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, requests

pytestmark = pytest.mark.integration

D = Decimal
CLOSED_AT = {"2026-10": NOW, "2026-11": datetime(2026, 12, 5, tzinfo=UTC), "2026-12": datetime(2027, 1, 5, tzinfo=UTC)}


def close(root: Path, label: str, catalog: Catalog | None = None, entity: str = "north") -> Close:
    now = CLOSED_AT[label]
    return closing.close(Lake(root), catalog or book(), label, entity, prove=lambda *_: [], now=now)


def bill(root: Path, label: str, catalog: Catalog | None = None, entity: str = "north") -> dict[str, dict[str, Any]]:
    """The month closed and issued: number → document of this issue."""
    before = set(documents(root))
    issuing.issue(Lake(root), close(root, label, catalog, entity), now=CLOSED_AT[label])
    return {number: found for number, found in documents(root).items() if number not in before}


def adjust(root: Path, label: str = "2026-10") -> dict[str, dict[str, Any]]:
    """Late usage of a month, issued at once as documents of their own: number → document."""
    before = set(documents(root))
    made = closing.close_late_usage(Lake(root), label, "north", prove=lambda *_: [], now=CLOSED_AT["2026-11"])
    if made is not None:
        issuing.issue(Lake(root), made, now=CLOSED_AT["2026-11"])
    return {number: found for number, found in documents(root).items() if number not in before}


def documents(root: Path) -> dict[str, dict[str, Any]]:
    return {issued.number: dict(issued.document) for issued in issuing.listed(Lake(root))}


def adjustments(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """The adjustments on a document: period, invoice, meter, quantities, amount."""
    names = ("period", "number", "meter", "quantity_before", "quantity_now", "amount")
    return [tuple(extra.get(name, "") for name in names) for extra in found.get("extras", [])]


def problems(root: Path) -> list[str]:
    return [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems]


def late(root: Path, count: int = 7, at: str = "2026-10-20T00:00Z") -> None:
    """So many requests of acme in October, landed after it was issued."""
    land(root, requests(count, at, response_bytes=0), at)


def test_late_usage_is_on_the_next_invoice_at_the_prices_of_its_month(issued: Path) -> None:
    """19 requests are 6.125, so 6.13; 5.25 was billed. The price of November does not matter."""
    late(issued)
    land(issued, requests(2, "2026-11-10T00:00Z", response_bytes=0), "november")
    card = document()["rate_cards"][0]
    card["versions"][0]["rates"][1]["price"] = {"model": "per_unit", "unit_price": "100"}
    new = bill(issued, "2026-11", book(rate_cards=[card]))
    acme = new["NM-2026-000003"]
    assert adjustments(acme) == [("2026-10", "NM-2026-000001", "requests", "12", "19", "0.88")]
    assert [extra["description"] for extra in acme["extras"]] == ["2026-10: API requests"]
    assert acme["total"] == "231.88", "31.00 and 200.00 of November, and 0.88 of October"
    assert "extras" not in new["NM-2026-000004"], "zeta has no late usage"
    assert unbilled(Lake(issued)) == []
    assert issuing.late_usage(Lake(issued)) == []
    assert problems(issued) == []


def test_lines_of_two_plans_are_told_apart(root: Path) -> None:
    """Each names its plan and its days, as two amounts for the same meter look like one that was billed twice."""
    parts = document()
    parts["plans"].append(parts["plans"][0] | {"id": "plan-b"})
    acme = parts["partners"][0]
    acme["plans"] = [
        {"plan": "plan-a", "valid_from": "2026-01-01", "valid_to": "2026-10-16"},
        {"plan": "plan-b", "valid_from": "2026-10-16"},
    ]
    changed = book(**parts)
    bill(root, "2026-10", changed)
    late(root, 3, "2026-10-10T00:00Z")
    late(root, 5, "2026-10-20T00:00Z")
    (found, _) = bill(root, "2026-11", changed).values()
    assert [extra["description"] for extra in found["extras"]] == [
        "2026-10: API requests (plan-a, 2026-10-01 \N{EN DASH} 2026-10-15)",
        "2026-10: API requests (plan-b, 2026-10-16 \N{EN DASH} 2026-10-31)",
    ]
    assert problems(root) == []


def test_each_of_two_rates_of_a_meter_is_adjusted(root: Path) -> None:
    """Twelve requests were 5.25, and none above the first 15 at the other rate. 19 are 6.13, and four at 0.25."""
    catalog: dict[str, Any] = document()
    peak = {
        "meter": "requests",
        "description": "Peak",
        "free_units": "15",
        "price": {"model": "per_unit", "unit_price": "0.25"},
    }
    extra = {"meter": "requests", "description": "Extra", "price": {"model": "per_unit", "unit_price": "0.1"}}
    catalog["rate_cards"][0]["versions"][0]["rates"] += [peak, extra]
    bill(root, "2026-10", book(**catalog))
    late(root)
    (found,) = adjust(root).values()
    assert [(each["description"].partition(" (")[0], each["amount"]) for each in found["extras"]] == [
        ("2026-10: API requests", "0.88"), ("2026-10: Peak", "1.00"), ("2026-10: Extra", "0.70"),
    ]  # fmt: skip
    assert problems(root) == []


def test_what_comes_after_an_adjustment_is_on_the_one_after_it(issued: Path) -> None:
    """Each document bills what the ones before it did not: 12, 19 and 27 requests are 5.25, 6.13 and 7.13."""
    late(issued)
    bill(issued, "2026-11")
    late(issued, 8, "2026-10-21T00:00Z")
    assert [row.amount for row in unbilled(Lake(issued))] == [D("1.00")]
    (acme, _) = bill(issued, "2026-12").values()
    assert adjustments(acme) == [("2026-10", "NM-2026-000001", "requests", "19", "27", "1.00")]
    assert unbilled(Lake(issued)) == []
    assert problems(issued) == []


def test_without_late_usage_a_close_is_what_it_was(issued: Path) -> None:
    """No key of a close or a document says that there is nothing."""
    made = close(issued, "2026-11")
    assert "adjustments" not in made.content
    assert "replaces" not in made.content


@pytest.mark.slow
def test_late_usage_within_the_free_units_costs_nothing_and_is_not_unbilled(issued: Path) -> None:
    """0.1 GB in November is free, and there is no line for it: it is adjusted, and no document shows it."""
    bill(issued, "2026-11")
    land(issued, requests(1, "2026-11-03T00:00Z", status=503, response_bytes=10**8), "free")
    assert [row.amount for row in unbilled(Lake(issued))] == [D(0)]
    (acme, _) = bill(issued, "2026-12").values()
    assert "extras" not in acme
    assert unbilled(Lake(issued)) == []
    assert problems(issued) == []


@pytest.mark.slow
def test_late_usage_without_a_next_invoice_is_a_document_of_its_own(issued: Path) -> None:
    """It has a number of the invoices' series, names the invoice, and is made again by verify."""
    late(issued)
    ((number, found),) = adjust(issued).items()
    assert (number, found["kind"], found["total"]) == ("NM-2026-000003", "adjustment", "0.88")
    assert found["refers_to"] == {"number": "NM-2026-000001"}
    assert found["reason"] == "late usage"
    assert found["lines"] == []
    assert found["period"]["label"] == "2026-10"
    assert json.loads((issued / "documents" / f"{number}.json").read_text()) == found
    assert adjust(issued) == {}, "nothing is due any more"
    assert problems(issued) == []
    (acme, _) = bill(issued, "2026-11").values()
    assert "extras" not in acme


@pytest.mark.slow
def test_late_usage_of_a_month_without_an_invoice_refers_to_none(tmp_path: Path) -> None:
    """Zeta had nothing to pay in October, and pays 1.50 for three late requests. It has no invoice to correct."""
    parts = document()
    card = parts["rate_cards"][0]["versions"][0]
    card["rates"] = card["rates"][1:]
    root = land(tmp_path / "lake", requests(1, "2026-10-10T00:00Z"))
    bill(root, "2026-10", book(**parts))
    land(root, requests(3, "2026-10-31T23:45Z", "zeta", response_bytes=0), "late")
    ((number, found),) = adjust(root).items()
    assert (number, found["kind"], found["total"], found["refers_to"]) == ("NM-2026-000002", "adjustment", "1.50", None)
    assert problems(root) == []
    assert unbilled(Lake(root)) == []


def test_a_month_that_is_not_issued_cannot_be_adjusted(root: Path) -> None:
    """Its usage will be on its invoice."""
    with pytest.raises(Refused, match="2026-10 of north is not issued, so nothing of it can be adjusted"):
        adjust(root)


@pytest.mark.slow
def test_another_legal_entity_does_not_bill_for_the_earlier_one(issued: Path) -> None:
    """Acme moves to south in November. Late usage of October was sold by north, so north's document says it."""
    late(issued)
    parts = document()
    south = {**parts["legal_entities"][0], "id": "south", "invoice_prefix": "SM"}
    parts["legal_entities"].append(south)
    parts["partners"][0]["legal_entity"] = "south"
    new = bill(issued, "2026-11", book(**parts), "south")
    assert {number: (found.get("kind"), found["seller"]["id"]) for number, found in new.items()} == {
        "NM-2026-000003": ("adjustment", "north"),
        "SM-2026-000001": (None, "south"),
    }
    assert problems(issued) == []


def test_another_currency_is_another_document(issued: Path) -> None:
    """An invoice has one currency: late usage in EUR is not added to an invoice in USD."""
    late(issued)
    card = document()["rate_cards"][0] | {"currency": "USD"}
    new = bill(issued, "2026-11", book(rate_cards=[card]))
    assert sorted((found.get("kind", "invoice"), found["currency"]) for found in new.values()) == [
        ("adjustment", "EUR"),
        ("invoice", "USD"),
        ("invoice", "USD"),
    ]
    assert problems(issued) == []


@pytest.mark.slow
def test_a_voided_adjustment_is_due_again(issued: Path) -> None:
    """November bills 0.88 of October and is voided; its new invoice has them again, whatever December adjusted."""
    late(issued)
    bill(issued, "2026-11")
    late(issued, 8, "2026-10-21T00:00Z")
    bill(issued, "2026-12")
    crediting.void(Lake(issued), "NM-2026-000003", reason="wrong", by="ana", now=CLOSED_AT["2026-12"])
    assert [row.amount for row in unbilled(Lake(issued)) if row.kind == "late"] == [D("0.88")]
    (again,) = bill(issued, "2026-11").values()
    assert adjustments(again) == [("2026-10", "NM-2026-000001", "requests", "12", "19", "0.88")]
    assert unbilled(Lake(issued)) == []
    assert problems(issued) == []


def test_a_void_takes_the_adjustments_of_its_month_with_it(issued: Path) -> None:
    """October is billed anew with all its usage, so what November's invoice adjusted of it is credited, too."""
    late(issued)
    bill(issued, "2026-11")
    note = crediting.void(Lake(issued), "NM-2026-000001", reason="wrong", by="ana", now=CLOSED_AT["2026-11"])
    assert note.document["total"] == "-37.21", "36.33 and 0.88"
    assert note.document["lines"][-1]["credits"]["number"] == "NM-2026-000003"
    (again,) = bill(issued, "2026-10").values()
    assert again["total"] == "37.21"
    assert unbilled(Lake(issued)) == []
    assert problems(issued) == []


def test_a_void_takes_adjustments_with_what_a_discount_took_off_them(root: Path) -> None:
    """October was 36.33 less 18.17, and is 37.21 less 18.61 with late usage: an adjustment of 0.88 less 0.44."""
    partners = document()["partners"]
    partners[0]["discounts"] = [{"percent": "50", "valid_from": "2026-01-01"}]
    bill(root, "2026-10", book(partners=partners))
    late(root)
    (found,) = adjust(root).values()
    assert [extra["amount"] for extra in found["extras"]] == ["0.88", "-0.44"]
    note = crediting.void(Lake(root), "NM-2026-000001", reason="wrong", by="ana", now=CLOSED_AT["2026-11"])
    assert note.document["total"] == "-18.60"
    (again,) = bill(root, "2026-10", book(partners=partners)).values()
    assert again["total"] == "18.60"
    assert problems(root) == []


@pytest.mark.slow
def test_an_adjustment_is_issued_once(issued: Path) -> None:
    """Two closes with the same late usage: the second one is not issued."""
    late(issued)
    made = close(issued, "2026-11")
    adjust(issued)
    with pytest.raises(Refused, match="late usage of 2026-10 of acme was billed or voided since close"):
        issuing.issue(Lake(issued), made, now=CLOSED_AT["2026-11"])
    bill(issued, "2026-11")
    assert problems(issued) == []
