"""Accruals: what is used and stands on no document, priced as the next invoices price it. Issued, it is nothing."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.comparing.accruals import Accrual, accruals
from billing.invoicing.corrections import crediting
from billing.invoicing.issuing import Issued
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import OCTOBER, books, land, request, requests

NOW = datetime(2027, 1, 5, tzinfo=UTC)
LAST = date(2026, 10, 31)
D = Decimal


def issue(root: Path, catalog: Catalog, label: str) -> list[Issued]:
    """Close and issue a month."""
    made = closing.close(Lake(root), catalog, label, "north", prove=books(root), now=NOW)
    return issuing.issue(Lake(root), made, now=NOW).invoices


def accrued(root: Path, catalog: Catalog, day: date = LAST) -> list[Accrual]:
    """The rows, without problems."""
    found = accruals(Lake(root), catalog, day)
    assert found.problems == {}
    return list(found.rows)


def total(rows: Sequence[Accrual]) -> Decimal:
    return sum((row.amount for row in rows), D(0))


def short(rows: Sequence[Accrual]) -> list[tuple[Any, ...]]:
    return [(row.partner_id, row.period, row.kind, row.meter, row.quantity, row.amount) for row in rows]


def with_terms(**terms: Any) -> Catalog:
    """The catalog with one partner, whose contract has these terms."""
    parts = document()
    return book(partners=[parts["partners"][0] | terms])


def test_a_month_is_accrued_as_it_is_billed_and_then_nothing_is(tmp_path: Path) -> None:
    """By partner, meter and plan: accrued less issued is zero."""
    root, catalog = land(tmp_path / "lake", OCTOBER), book()
    before = accrued(root, catalog)
    assert short([row for row in before if row.partner_id == "acme"]) == [
        ("acme", "2026-10", "fee", "", None, D("31.00")),
        ("acme", "2026-10", "usage", "egress", D("1.2"), D("0.08")),
        ("acme", "2026-10", "usage", "requests", D(12), D("5.25")),
    ]
    assert {(row.plan, row.currency, row.legal_entity) for row in before} == {("plan-a", "EUR", "north")}
    issued = issue(root, catalog, "2026-10")
    for invoice in issued:
        assert total([row for row in before if row.partner_id == invoice.partner_id]) == invoice.total
    assert accrued(root, catalog) == []


def test_a_part_of_a_month_counts_until_the_end_of_the_day_of_the_partner(tmp_path: Path) -> None:
    """The 15th in Berlin ends two hours before the 15th in UTC does; a flat fee counts by the hours that are over."""
    rows = [
        request("2026-10-15T21:45Z", name="in", response_bytes=0),
        request("2026-10-15T22:00Z", name="out", response_bytes=0),
    ]
    root, catalog = land(tmp_path / "lake", rows), with_terms()
    assert short(accrued(root, catalog, date(2026, 10, 15))) == [
        ("acme", "2026-10", "fee", "", None, D("14.98")),  # 31 for 360 of 745 hours
        ("acme", "2026-10", "usage", "requests", D(1), D("0.50")),
    ]
    assert total(accrued(root, catalog, date(2026, 10, 16))) > D("15.98")


def test_several_open_months_are_accrued_each_and_tiers_begin_anew(tmp_path: Path) -> None:
    """As their invoices will be."""
    rows = [*requests(12, "2026-10-05T12:00Z", response_bytes=0), *requests(3, "2026-11-05T12:00Z", response_bytes=0)]
    root, catalog = land(tmp_path / "lake", rows), with_terms()
    before = accrued(root, catalog, date(2026, 11, 30))
    assert [row.amount for row in before if row.meter == "requests"] == [D("5.25"), D("1.50")]
    issue(root, catalog, "2026-10")
    assert accrued(root, catalog, date(2026, 11, 30)) == [row for row in before if row.period == "2026-11"]
    issue(root, catalog, "2026-11")
    assert accrued(root, catalog, date(2026, 11, 30)) == []


def test_late_usage_is_accrued_at_the_prices_of_its_month_until_an_invoice_has_it(tmp_path: Path) -> None:
    """Also with another price today."""
    root, catalog = land(tmp_path / "lake", requests(12, "2026-10-05T12:00Z", response_bytes=0)), with_terms()
    issue(root, catalog, "2026-10")
    land(root, requests(2, "2026-10-06T12:00Z", response_bytes=0), "late")
    assert short(accrued(root, catalog)) == [("acme", "2026-10", "adjustment", "requests", D(2), D("0.25"))]
    issue(root, catalog, "2026-11")
    assert accrued(root, catalog, date(2026, 11, 30)) == []


def test_a_voided_month_is_accrued_again_until_it_is_billed_again(tmp_path: Path) -> None:
    """A credit note gives back what was issued; the usage is still there."""
    root, catalog = land(tmp_path / "lake", requests(12, "2026-10-05T12:00Z", response_bytes=0)), with_terms()
    before = accrued(root, catalog)
    (invoice,) = issue(root, catalog, "2026-10")
    crediting.void(Lake(root), invoice.number, reason="r", by="ann", now=NOW)
    assert accrued(root, catalog) == before
    issue(root, catalog, "2026-10")
    assert accrued(root, catalog) == []


def test_fees_in_advance_are_accrued_for_the_days_that_are_over_alone(tmp_path: Path) -> None:
    """The bill of October has the fee of November; on the last day of October nothing of it is earned."""
    fee = {
        "id": "seat",
        "amount": "30",
        "currency": "EUR",
        "due": "advance",
        "proration": "day",
        "valid_from": "2026-10-01",
    }
    root, catalog = land(tmp_path / "lake", requests(2, "2026-10-05T12:00Z", response_bytes=0)), with_terms(fees=[fee])
    fees = [row.amount for row in accrued(root, catalog) if row.kind == "fee" and not row.plan]
    assert fees == [D("30.00")]
    issue(root, catalog, "2026-10")
    assert accrued(root, catalog) == []
    (paid,) = [row.amount for row in accrued(root, catalog, date(2026, 11, 10)) if row.kind == "fee" and not row.plan]
    assert paid == D("-20.00"), "ten of thirty days are over, and the month is billed"


def test_a_month_rests_on_the_open_month_before_it(tmp_path: Path) -> None:
    """Prepaid credits pay once."""
    credit = {"id": "a", "amount": "40", "currency": "EUR", "valid_from": "2026-10-01"}
    rows = [*requests(2, "2026-10-05T12:00Z", response_bytes=0), *requests(2, "2026-11-05T12:00Z", response_bytes=0)]
    root, catalog = land(tmp_path / "lake", rows), with_terms(credits=[credit])
    paid = [row.amount for row in accrued(root, catalog, date(2026, 11, 30)) if row.kind == "credit"]
    assert paid == [D("-32.00"), D("-8.00")]


def test_usage_without_a_price_is_a_problem(tmp_path: Path) -> None:
    """The sum is too small, and somebody must know."""
    parts = document()
    del parts["rate_cards"][0]["versions"][0]["rates"][1]
    root = land(tmp_path / "lake", requests(2, "2026-10-05T12:00Z", response_bytes=0))
    found = accruals(Lake(root), book(partners=parts["partners"][:1], rate_cards=parts["rate_cards"]), LAST)
    assert "has no rate for it" in found.problems["acme"][0]


@pytest.mark.parametrize("entity", ["north", None])
def test_only_the_partners_of_a_legal_entity_count(tmp_path: Path, entity: str | None) -> None:
    """Each entity has books of its own."""
    root = land(tmp_path / "lake", OCTOBER)
    assert {row.partner_id for row in accruals(Lake(root), book(), LAST, entity).rows} == {"acme", "zeta"}
    assert accruals(Lake(root), book(), LAST, "south").rows == []
