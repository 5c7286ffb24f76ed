"""Usage of settled months that no issued invoice holds: all of it is listed, to the unit, with what it costs, and
nothing else.
"""

import tempfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoicing import closing, issuing
from billing.invoicing.unbilled import Unbilled, unbilled
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import plain
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, request, requests
from tests.long import LONG

pytestmark = pytest.mark.integration

D = Decimal


def issue(root: Path, catalog: Catalog, label: str = "2026-10") -> dict[str, Any]:
    """Close and issue a month; partner → its document."""
    made = closing.close(Lake(root), catalog, label, "north", prove=lambda *_: [], now=NOW)
    return {i.partner_id: i.document for i in issuing.issue(Lake(root), made, now=NOW).invoices}


def only(*partners: str) -> Catalog:
    """The catalog of those partners."""
    return book(partners=[p for p in document()["partners"] if p["id"] in partners])


def summarized(rows: list[Unbilled]) -> list[tuple[str, str, str, str | None, str, str | None]]:
    return [
        (r.kind, r.partner_id, r.meter, r.number, plain(r.quantity), None if r.amount is None else str(r.amount))
        for r in rows
    ]


def test_before_anything_is_settled_nothing_is_unbilled(root: Path) -> None:
    """Open months are no loss: they will be closed."""
    assert unbilled(Lake(root), book()) == []
    closing.close(Lake(root), book(), "2026-10", "north", prove=lambda *_: [], now=NOW)
    assert unbilled(Lake(root), book()) == []


def test_an_issued_month_without_more_usage_has_nothing_unbilled(issued: Path) -> None:
    """Usage of other months is none of this one: November is open."""
    land(issued, requests(9, "2026-11-01T12:00Z"), "november")
    assert unbilled(Lake(issued)) == unbilled(Lake(issued), book()) == []


def test_what_comes_late_costs_what_it_would_have_cost(issued: Path) -> None:
    """12 requests were 5.25 and are 19, which are 6.125: rounded as a line is, 6.13.

    And 700 bytes cost nothing that shows.
    """
    land(issued, requests(7, "2026-10-20T00:00Z"), "late")
    assert summarized(unbilled(Lake(issued))) == [
        ("late", "acme", "egress", "NM-2026-000001", "0.0000007", "0.00"),
        ("late", "acme", "requests", "NM-2026-000001", "7", "0.88"),
    ]
    (_, row) = unbilled(Lake(issued))
    assert (row.period, row.unit, row.currency) == ("2026-10", "requests", "EUR")
    assert (row.start.isoformat(), row.end.isoformat()) == ("2026-09-30T22:00:00+00:00", "2026-10-31T23:00:00+00:00")


def test_what_comes_late_is_priced_by_the_close_and_not_by_the_newest_catalog(issued: Path) -> None:
    """A price that was raised since is none of October's."""
    card = document()["rate_cards"][0]
    card["versions"][0]["rates"][1]["price"] = {"model": "per_unit", "unit_price": "100"}
    land(issued, requests(7, "2026-10-20T00:00Z"), "late")
    assert [r.amount for r in unbilled(Lake(issued), book(rate_cards=[card]))] == [D("0.00"), D("0.88")]


def test_a_forgotten_partner_that_is_added_after_issue_is_listed_with_its_amount(tmp_path: Path) -> None:
    """In no close, in no invoice: 30 requests are 7.50 by the prices of the catalog that has it.

    Its month can still be issued.
    """
    root = land(tmp_path / "lake", requests(12, "2026-10-10T00:00Z"))
    issue(root, only("acme"))
    land(root, requests(30, "2026-10-31T19:59-04:00", "zeta", response_bytes=10**8), "redriven")
    assert summarized(unbilled(Lake(root), book())) == [
        ("not_issued", "zeta", "egress", None, "3", "0.30"),
        ("not_issued", "zeta", "requests", None, "30", "7.50"),
    ]
    assert summarized(unbilled(Lake(root))) == [
        ("unknown", "zeta", "egress", None, "3", None),
        ("unknown", "zeta", "requests", None, "30", None),
    ]
    assert issue(root, book())["zeta"]["total"] == "38.80", "with the fee of 31"
    assert unbilled(Lake(root), book()) == unbilled(Lake(root)) == []


@pytest.mark.slow
def test_late_usage_of_a_partner_with_nothing_to_pay_names_no_invoice(tmp_path: Path) -> None:
    """Its month is settled by its issue, though there was no line."""
    parts = document()
    card = parts["rate_cards"][0]["versions"][0]
    card["rates"] = card["rates"][1:]
    root = land(tmp_path / "lake", [request("2026-10-10T00:00Z")])
    issue(root, book(**parts))
    land(root, requests(3, "2026-10-31T23:45Z", "zeta", response_bytes=0), "late")
    assert summarized(unbilled(Lake(root))) == [("late", "zeta", "requests", None, "3", "1.50")]


@pytest.mark.slow
def test_what_has_no_price_is_listed_without_an_amount(tmp_path: Path) -> None:
    """A time without a plan: nobody can say what it costs, and it is not left out."""
    parts = document()
    parts["partners"][1]["plans"] = [{"plan": "plan-a", "valid_from": "2026-10-15"}]
    root = land(tmp_path / "lake", requests(12, "2026-10-10T00:00Z"))
    issue(root, book(**parts))
    land(root, requests(2, "2026-10-14T12:00Z", "zeta", response_bytes=0), "early")
    assert summarized(unbilled(Lake(root))) == [("late", "zeta", "requests", "NM-2026-000002", "2", None)]
    land(root, requests(2, "2026-10-15T12:00Z", "zeta", response_bytes=0), "later")
    assert summarized(unbilled(Lake(root))) == [("late", "zeta", "requests", "NM-2026-000002", "4", None)]


def test_own_traffic_and_meters_that_are_not_billed_are_no_loss(tmp_path: Path) -> None:
    """The operator's own calls are never invoiced."""
    parts = document()
    parts["meters"][1]["billable"] = False
    card = parts["rate_cards"][0]["versions"][0]
    card["rates"] = card["rates"][:2]
    root = land(tmp_path / "lake", requests(12, "2026-10-10T00:00Z"))
    issue(root, book(**parts))
    own = {"id": "own", "name": "Ourselves", "time_zone": "Etc/UTC", "status": "internal"}
    land(root, [*requests(5, "2026-10-20T00:00Z", "own"), *requests(1, "2026-10-20T00:00Z")], "late")
    parts["partners"].append(own)
    assert summarized(unbilled(Lake(root), book(**parts))) == [
        ("late", "acme", "requests", "NM-2026-000001", "1", "0.13")
    ]


USES = st.lists(
    st.tuples(
        st.sampled_from(["acme", "zeta", "nobody"]),
        st.sampled_from(["2026-10-01T12:00Z", "2026-10-31T22:59:59Z", "2026-10-31T23:00Z", "2026-11-01T03:59Z", "2026-11-20T00:00Z"]),
        st.integers(1, 15),
    ),
    max_size=5,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=100 if LONG else 5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=USES, after=USES, forgotten=st.booleans())
def test_every_event_of_a_settled_month_is_invoiced_or_listed(
    before: list[tuple[str, str, int]], after: list[tuple[str, str, int]], forgotten: bool
) -> None:
    """Invoice and list together are what one invoice over everything would be: in quantity, and in money to the
    cent.
    """
    known = {"acme"} if forgotten else {"acme", "zeta"}
    first = [use for use in before if use[0] in known]  # what others sent was refused, and is redriven later
    with tempfile.TemporaryDirectory() as folder:
        root = land(Path(folder) / "lake", landed(first, "a"))
        invoices = issue(root, only(*known))
        land(root, landed([use for use in before if use not in first] + after, "b"), "late")
        whole = land(Path(folder) / "whole", landed(before + after, "c"))
        everything = issue(whole, book())
        rows = unbilled(Lake(root), book())
    quantities: dict[str, Decimal] = defaultdict(Decimal)
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        assert row.meter == "requests"
        assert row.kind == (
            "unknown" if row.partner_id == "nobody" else "late" if row.partner_id in known else "not_issued"
        )
        quantities[row.partner_id] += row.quantity
        amounts[row.partner_id] += row.amount or 0
    for partner in ("acme", "zeta"):
        billed, would = metered(invoices.get(partner)), metered(everything[partner])
        assert billed[0] + quantities[partner] == would[0]
        assert billed[1] + amounts[partner] == would[1]
    october = [n for partner, at, n in before + after if partner == "nobody" and at < "2026-11"]
    assert quantities["nobody"] == sum(october)


def landed(uses: list[tuple[str, str, int]], name: str) -> list[dict[str, Any]]:
    return [
        request(at, partner, name=f"{name}{i}-{n}", response_bytes=0)
        for i, (partner, at, count) in enumerate(uses)
        for n in range(count)
    ]


def metered(invoice: dict[str, Any] | None) -> tuple[Decimal, Decimal]:
    """Quantity and amount of the lines of an invoice that a meter counted."""
    lines = [line for line in invoice["lines"] if line["meter"]] if invoice else []
    return sum((D(x["quantity"]) for x in lines), D(0)), sum((D(x["amount"]) for x in lines), D(0))
