"""What was issued to whom, and that a close which rests on it notices every change."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from billing.invoicing import closing, history, issuing
from billing.invoicing.corrections import crediting
from billing.invoicing.corrections.crediting import CreditRequest
from billing.rating.issued import entries
from lake.errors import Damaged
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, books, land, request

pytestmark = pytest.mark.integration


def test_issued_documents_are_found_by_partner(issued: Path) -> None:
    """With what later bills need of them: the total, and the document itself."""
    found = history.history(Lake(issued))
    listed = issuing.listed(Lake(issued))
    assert {one.number: (one.partner_id, one.total) for some in found.values() for one in some} == {
        one.number: (one.partner_id, one.total) for one in listed
    }
    (acme,) = found["acme"]
    assert acme.content == json.loads(acme.document)
    assert acme.kind == "invoice"
    assert sum(entry.amount for entry in entries(found["acme"])) == acme.total
    assert history.history(Lake(issued), {"zeta"}).keys() == {"zeta"}
    assert history.history(Lake(issued), set()) == {}


def test_a_close_finds_the_documents_that_it_names(issued: Path) -> None:
    """By number and hash. A document with another hash is not the one on which the close rests."""
    before = history.history(Lake(issued))
    content = history.pins(before, {"acme", "zeta"})
    assert history.pinned(Lake(issued), content) == before
    assert history.pinned(Lake(issued), {}) == {}
    content[history.RESTS_ON]["acme"][0]["json_sha256"] = "0" * 64
    with pytest.raises(Damaged, match=r"partner acme: NM-2026-000001, .*restore table invoices"):
        history.pinned(Lake(issued), content)


def with_credits(amount: str) -> Catalog:
    """The catalog, with an amount that acme paid in advance."""
    parts = document()["partners"]
    parts[0]["credits"] = [{"id": "prepaid", "amount": amount, "currency": "EUR", "valid_from": "2026-10-01"}]
    return book(partners=parts)


def closed(root: Path, catalog: Catalog, label: str = "2026-10", now: datetime = NOW) -> closing.Close:
    return closing.close(Lake(root), catalog, label, "north", prove=books(root), now=now)


def test_a_credit_pays_over_months_and_a_void_gives_it_back(root: Path) -> None:
    """Each bill rests on the documents before it, by number and hash; the proofs make every byte again."""
    land(root, [request("2026-11-10T00:00Z")], "november")
    catalog = with_credits("40.00")
    october = issuing.issue(Lake(root), closed(root, catalog), now=NOW).invoices[0]
    assert (october.total, october.document["extras"][0]["balance_after"]) == (Decimal("0.00"), "3.67")
    december = datetime(2026, 12, 5, tzinfo=UTC)
    made = closed(root, catalog, "2026-11", december)
    assert made.content[history.RESTS_ON].keys() == {"acme"}
    issuing.issue(Lake(root), made, now=december)
    assert {(i.period, i.total) for i in issuing.listed(Lake(root)) if i.partner_id == "acme"} == {
        ("2026-10", Decimal("0.00")),
        ("2026-11", Decimal("27.83")),
    }
    crediting.void(Lake(root), october.number, reason="wrong price", by="ada", now=december)
    again = issuing.issue(Lake(root), closed(root, catalog, "2026-10", december), now=december).invoices
    (rebilled,) = [i for i in again if i.partner_id == "acme"]
    assert rebilled.document["extras"][0]["amount"] == "-36.33"
    assert [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems] == []


def test_a_close_is_outdated_when_a_document_is_issued_that_it_would_rest_on(root: Path) -> None:
    """Otherwise two invoices would spend the same credit. A document of another partner changes nothing."""
    land(root, [request("2026-11-10T00:00Z")], "november")
    catalog = with_credits("40.00")
    first = issuing.issue(Lake(root), closed(root, catalog), now=NOW).invoices
    december = datetime(2026, 12, 5, tzinfo=UTC)
    made = closed(root, catalog, "2026-11", december)
    crediting.credit(
        Lake(root), first[1].number, CreditRequest(amount=Decimal(1)), reason="goodwill", by="ada", now=december
    )
    assert closed(root, catalog, "2026-11", december).close_id == made.close_id
    crediting.void(Lake(root), first[0].number, reason="wrong price", by="ada", now=december)
    with pytest.raises(
        closing.Refused, match=r"partner acme: .* NM-CN-2026-000002 was issued since the close; close again"
    ):
        issuing.issue(Lake(root), made, now=december)


@pytest.mark.slow
def test_a_used_credit_stays_in_the_catalog(root: Path) -> None:
    """Without it nobody could say what paid the invoice; the partner is blocked until it is there again."""
    issuing.issue(Lake(root), closed(root, with_credits("40.00")), now=NOW)
    land(root, [request("2026-11-10T00:00Z"), request("2026-11-10T00:00Z", "zeta")], "november")
    made = closed(root, with_credits("10.00"), "2026-11", datetime(2026, 12, 5, tzinfo=UTC))
    says = (
        "partner acme, credit prepaid: issued invoices used 36.33 EUR, but the catalog has 10.00 EUR; write the credit with the amount that was "
        "paid, because used credits stay in the catalog"
    )
    assert made.blocked == {"acme": [says]}
