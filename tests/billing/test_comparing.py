"""Bills under other prices, and the forecast of a running month. The amounts are worked out by hand.

October of acme is a fee of 31.00, 12 requests for 5.25 (ten at 0.5, further ones at 0.125), and 1.2 GB less 0.5 free at
0.12, which is 0.08: 36.33 EUR. October of zeta is 31.00, two requests for 1.00, and 1.4 GB less 0.5 free: 32.11 EUR.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.closing import Refused
from billing.invoicing.comparing.closed_months import reprice
from billing.invoicing.comparing.edits import effect
from billing.invoicing.comparing.forecast import preview
from billing.invoicing.corrections import rebilling
from billing.invoicing.corrections.rebilling import Person
from billing.rating.differences import BillDifference, Side, of_document, of_draft
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, requests

pytestmark = pytest.mark.integration

D = Decimal
ACME = "NM-2026-000001"


def changed(edit: str) -> Catalog:
    """The catalog after an edit."""
    parts: dict[str, Any] = document()
    card, acme = parts["rate_cards"][0], parts["partners"][0]
    rates = card["versions"][0]["rates"]
    if edit == "price":
        rates[1]["price"]["tiers"][0]["unit_price"] = "0.25"
    elif edit == "name":
        rates[1]["description"] = "Calls"
    elif edit == "fee":
        rates.append({"description": "Support", "price": {"model": "flat", "amount": "10.00"}})
    elif edit == "discount":
        acme["discounts"] = [{"valid_from": "2026-01-01", "percent": "10", "description": "Partner discount"}]
    elif edit == "no rate":
        del rates[2]
    elif edit == "another plan":
        parts["plans"].append({"id": "plan-b", "rate_card": "standard"})
        acme["plans"] = [{"plan": "plan-b", "valid_from": "2026-01-01"}]
    elif edit == "no partner":
        del parts["partners"][0]
    elif edit == "currency":
        card["currency"] = "USD"
    return book(**parts)


def shown(found: BillDifference) -> tuple[str, str, Decimal | None, Decimal | None, Mapping[str, tuple[str, Decimal]]]:
    lines = {line.description: (line.why, line.amount) for line in found.lines}
    return found.partner_id, found.currency, found.before, found.after, lines


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("nothing", []),
        ("name", []),
        (
            "price",
            [
                ("acme", "EUR", D("36.33"), D("33.83"), {"API requests": ("price", D("-2.50"))}),
                ("zeta", "EUR", D("32.11"), D("31.61"), {"API requests": ("price", D("-0.50"))}),
            ],
        ),
        (
            "fee",
            [
                ("acme", "EUR", D("36.33"), D("46.33"), {"Support": ("new", D("10.00"))}),
                ("zeta", "EUR", D("32.11"), D("42.11"), {"Support": ("new", D("10.00"))}),
            ],
        ),
        ("discount", [("acme", "EUR", D("36.33"), D("32.70"), {"Partner discount": ("new", D("-3.63"))})]),
        (
            "no partner",
            [
                (
                    "acme", "EUR", D("36.33"), None,
                    {
                        "Platform fee": ("gone", D("-31.00")), "API requests": ("gone", D("-5.25")),
                        "Data delivered": ("gone", D("-0.08")),
                    },
                )
            ],
        ),
    ],
)  # fmt: skip
def test_an_edit_changes_these_lines_and_no_others(october: Path, edit: str, expected: list[Any]) -> None:
    """Lines are matched by what they charge for: another name of a line changes no amount."""
    found = effect(Lake(october), "2026-10", book(), changed(edit))
    assert [shown(each) for each in found.differences] == expected
    assert (found.bills, found.caused, found.solved) == (2, {}, {})


def test_what_an_edit_keeps_from_being_billed_is_named(october: Path) -> None:
    """A card without a rate for used units blocks both partners; the other way around, it is solved."""
    broken = changed("no rate")
    found = effect(Lake(october), "2026-10", book(), broken)
    assert list(found.caused) == ["acme", "zeta"]
    assert found.differences == [], "a bill that cannot be made is a problem, and not a bill that is gone"
    assert "rate card standard has no rate for it" in found.caused["acme"][0]
    back = effect(Lake(october), "2026-10", broken, book())
    assert (back.solved, back.differences) == (found.caused, [])


@pytest.mark.parametrize("edit", ["price", "fee", "discount", "another plan", "no partner", "currency"])
def test_the_differences_of_lines_are_the_difference_of_the_bill(october: Path, edit: str) -> None:
    found = effect(Lake(october), "2026-10", book(), changed(edit)).differences
    assert found
    for bill in found:
        assert sum(line.amount for line in bill.lines) == bill.amount == (bill.after or 0) - (bill.before or 0)


def test_another_currency_is_another_bill(october: Path) -> None:
    """Amounts of two currencies are not subtracted."""
    found = effect(Lake(october), "2026-10", book(), changed("currency")).differences
    assert [(f.partner_id, f.currency, f.before, f.after) for f in found] == [
        ("acme", "EUR", D("36.33"), None), ("acme", "USD", None, D("36.33")),
        ("zeta", "EUR", D("32.11"), None), ("zeta", "USD", None, D("32.11")),
    ]  # fmt: skip


def content(root: Path) -> str:
    """A hash of all files of a lake, with their names."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(str(f.relative_to(root)).encode() + f.read_bytes() for f in files)).hexdigest()


def test_reprice_says_what_a_rebill_then_does_and_writes_nothing(issued: Path) -> None:
    before = content(issued)
    assert reprice(Lake(issued), "2026-10", "north", book()).differences == []
    found = reprice(Lake(issued), "2026-10", "north", changed("price"))
    assert content(issued) == before
    assert (found.bills, found.problems) == (2, {})
    acme = found.differences[0]
    assert (acme.before, acme.after) == (D("36.33"), D("33.83"))
    assert acme.lines[0].before == Side(D(12), D("5.25"))
    rebilled = rebilling.rebill(
        Lake(issued), ACME, changed("price"), Person("ana", "wrong price"), prove=lambda *_: [], now=NOW
    )
    assert rebilled.invoice is not None
    assert D(rebilled.invoice["total"]) == acme.after
    # The period is billed by the new catalog now, and only the other partner would be billed otherwise.
    assert [f.partner_id for f in reprice(Lake(issued), "2026-10", "north", changed("price")).differences] == ["zeta"]
    assert [f.amount for f in reprice(Lake(issued), "2026-10", "north", book()).differences] == [D("2.50")]


def test_a_closed_month_that_is_not_issued_is_repriced_by_the_usage_of_its_close(root: Path) -> None:
    """What comes after the close is not in it."""
    closing.close(Lake(root), book(), "2026-10", "north", prove=lambda *_: [], now=NOW)
    land(root, requests(5, "2026-10-20T00:00Z"), "late")
    found = reprice(Lake(root), "2026-10", "north", changed("price"))
    assert [each.amount for each in found.differences] == [D("-2.50"), D("-0.50")]
    assert issuing.listed(Lake(root)) == []


def test_what_the_other_catalog_cannot_bill_is_a_problem(issued: Path) -> None:
    assert reprice(Lake(issued), "2026-10", "north", changed("no partner")).problems == {
        "acme": ["partner acme is not invoiced by the catalog"]
    }
    problems = reprice(Lake(issued), "2026-10", "north", changed("no rate")).problems
    assert list(problems) == ["acme", "zeta"]


def test_a_month_that_is_open_has_nothing_to_reprice(root: Path) -> None:
    with pytest.raises(Refused, match="2026-10 of north is not closed; `tollbook catalog diff` compares months"):
        reprice(Lake(root), "2026-10", "north", book())


def test_the_rest_of_the_month_is_expected_to_go_on_as_the_last_week(issued: Path) -> None:
    """The reckoning is in fractions: what lies in the last seven days, for each part of the month that is left."""
    land(issued, requests(40, "2026-11-03T12:00Z", response_bytes=0), "before the week")
    land(issued, requests(29, "2026-11-09T08:00Z", response_bytes=0), "of the week")
    at = datetime(2026, 11, 12, 6, 10, tzinfo=UTC)  # the quarter of an hour that it lies in is not complete
    (found,) = preview(Lake(issued), book(), [book().known_partner("acme")], at)
    left = datetime(2026, 11, 30, 23, tzinfo=UTC) - datetime(2026, 11, 12, 6, tzinfo=UTC)
    expected = 40 + 29 + int(Fraction(29 * (left // timedelta(minutes=15)), 7 * 96))
    assert expected == 146
    assert found.so_far is not None
    assert found.forecast is not None
    assert found.label == "2026-11"
    assert found.so_far.total == D("43.38")  # 31.00, ten requests at 0.5, 59 at 0.125
    assert found.forecast.total == D("53.00")  # 136 at 0.125


@pytest.mark.parametrize("late", [0, 7])
def test_a_preview_in_the_last_minutes_of_a_month_is_the_invoice_of_its_close(issued: Path, late: int) -> None:
    """Line by line, with what the contract adds and with late usage of October.

    Nothing was used in the last week, so that the end is the same.
    """
    land(issued, requests(20, "2026-11-03T12:00Z", response_bytes=10**8), "november")
    land(issued, requests(late, "2026-10-20T00:00Z", response_bytes=0), "late")
    catalog = changed("discount")
    now = datetime(2026, 12, 5, tzinfo=UTC)
    acme = catalog.known_partner("acme")
    (found,) = preview(Lake(issued), catalog, [acme], datetime(2026, 11, 30, 22, 59, tzinfo=UTC))
    made = closing.close(Lake(issued), catalog, "2026-11", "north", prove=lambda *_: [], now=now)
    (invoice,) = (i for i in issuing.issue(Lake(issued), made, now=now).invoices if i.partner_id == "acme")
    assert found.so_far is not None
    assert found.so_far == found.forecast
    # 31.00, 6.25 for 20 requests, 0.18 for 1.5 GB, less 10 %; seven late requests cost 6.13 less 5.25.
    assert found.so_far.total == D(invoice.document["total"]) == (D("34.57") if late else D("33.69"))
    assert [line._replace(key=()) for line in of_draft(catalog, found.so_far)] == [
        line._replace(key=()) for line in of_document(invoice.document)
    ]
