"""Fees of a contract against a second reckoning in fractions, written from docs/contracts.md alone."""

import calendar
import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.extras import Extra
from billing.rating.issued import IssuedDocument
from billing.rating.terms.fees import fees
from schemas.catalog import checks
from schemas.catalog.records import Catalog, Partner
from tests.billing.catalogs import book, document

MONTHS = ["2026-10", "2026-11", "2026-12", "2027-01", "2027-02"]
ZONE = "Europe/Berlin"
DAYS = st.dates(date(2026, 9, 1), date(2027, 3, 15))


def catalog(listed: list[dict[str, Any]]) -> Catalog:
    return book(partners=[document()["partners"][0] | {"time_zone": ZONE, "fees": listed}])


def fee(**fields: Any) -> dict[str, Any]:
    return {"id": "line", "description": "Line", "amount": "90", "currency": "EUR", "valid_from": "2026-10-01"} | fields


def issued(number: str, label: str, extras: Sequence[Extra]) -> IssuedDocument:
    """A document with these rows, as far as later bills read it."""
    rows = [{"position": n, "kind": x.kind.value, **x.facts, "amount": str(x.amount)} for n, x in enumerate(extras, 1)]
    return IssuedDocument(
        number, "invoice", "acme", label, "EUR", Decimal(0), "", json.dumps({"lines": [], "extras": rows})
    )


def credit_note(number: str, label: str, of: IssuedDocument) -> IssuedDocument:
    """The credit note of a whole document."""
    lines = [
        {
            "position": n,
            "credits": {"number": of.number, "position": row["position"]},
            "amount": str(-Decimal(row["amount"])),
        }
        for n, row in enumerate(of.content["extras"], 1)
    ]
    return IssuedDocument(number, "credit_note", "acme", label, "EUR", Decimal(0), "", json.dumps({"lines": lines}))


def billed(partner: Partner, labels: Sequence[str]) -> list[list[Extra]]:
    """The fees of months, each bill resting on those before."""
    before: list[IssuedDocument] = []
    found = []
    for n, label in enumerate(labels, 1):
        extras = fees(partner, label, "EUR", before)
        found.append(extras)
        before.append(issued(f"NM-{n}", label, extras))
    return found


def due(listed: dict[str, Any], label: str) -> Fraction:
    """What a month of a fee costs, to the cent, half away from zero."""
    first = date.fromisoformat(f"{label}-01")
    after = first + timedelta(days=calendar.monthrange(first.year, first.month)[1])
    begin = max(first, date.fromisoformat(listed["valid_from"]))
    end = min(after, date.fromisoformat(listed["valid_to"])) if "valid_to" in listed else after
    if begin >= end:
        return Fraction(0)

    def length(start: date, stop: date) -> int:
        if listed.get("proration") == "day":
            return (stop - start).days
        one, other = (
            datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE)).astimezone(UTC) for day in (start, stop)
        )
        return (other - one) // timedelta(seconds=1)

    exact = Fraction(listed["amount"]) * length(begin, end) / length(first, after)
    return Fraction(math.floor(exact * 100 + Fraction(1, 2)), 100)


@given(
    st.integers(1, 10**7).map(lambda n: str(Decimal(n).scaleb(-3))),
    st.sampled_from(["time", "day"]),
    st.sampled_from(["arrears", "advance"]),
    DAYS,
    st.one_of(st.none(), st.integers(1, 120)),
)
def test_each_month_is_billed_once_at_what_it_costs(
    amount: str, proration: str, how: str, begins: date, days: int | None
) -> None:
    """Whenever a fee begins and ends, and whether it is paid before or after its month."""
    listed = fee(amount=amount, proration=proration, due=how, valid_from=begins.isoformat())
    if days is not None:
        listed["valid_to"] = (begins + timedelta(days=days)).isoformat()
    made = billed(catalog([listed]).partners[0], MONTHS)
    sums: dict[str, Fraction] = {}
    for extra in (extra for extras in made for extra in extras):
        sums[extra.facts["month"]] = sums.get(extra.facts["month"], Fraction(0)) + Fraction(extra.amount)
    asked = MONTHS if how == "arrears" else [*MONTHS, "2027-03"]
    assert sums == {label: due(listed, label) for label in asked if due(listed, label)}
    shown = [[extra.facts["month"] for extra in extras] for extras in made]
    paid = asked if how == "arrears" else asked[1:]
    assert all(label in {month, "2026-10"} for month, extras in zip(paid, shown, strict=True) for label in extras)


@pytest.mark.parametrize(
    ("change", "amounts"),
    [
        pytest.param({"valid_to": "2026-12-11"}, [("2026-12", "-60.97")], id="it ends inside the paid month"),
        pytest.param({"valid_to": "2026-12-01"}, [("2026-12", "-90.00")], id="it ended before"),
        pytest.param({"amount": "100"}, [("2026-12", "10.00"), ("2027-01", "100.00")], id="it costs more"),
        pytest.param({}, [("2027-01", "90.00")], id="nothing changed"),
    ],
)
def test_a_month_that_was_paid_ahead_is_corrected_by_its_own_bill(
    change: dict[str, str], amounts: list[tuple[str, str]]
) -> None:
    """Nobody has to remember the last invoice."""
    before = catalog([fee(due="advance", proration="day")]).partners[0]
    paid = [issued("NM-1", "2026-10", fees(before, "2026-10", "EUR", []))]
    paid.append(issued("NM-2", "2026-11", fees(before, "2026-11", "EUR", paid)))
    after = catalog([fee(due="advance", proration="day", **change)]).partners[0]
    made = [(extra.facts["month"], str(extra.amount)) for extra in fees(after, "2026-12", "EUR", paid)]
    assert made == amounts


def test_a_voided_invoice_is_charged_again() -> None:
    """Its credit note takes everything back, so the new invoice has all of it."""
    partner = catalog([fee(due="advance")]).partners[0]
    first = fees(partner, "2026-10", "EUR", [])
    voided = issued("NM-1", "2026-10", first)
    assert [str(extra.amount) for extra in first] == ["90.00", "90.00"]
    assert fees(partner, "2026-10", "EUR", [voided, credit_note("NM-CN-1", "2026-10", voided)]) == first


def test_a_fee_in_another_currency_or_with_an_id_that_is_taken_is_refused() -> None:
    """Both would be found out only by the partner."""
    found = [
        str(problem.message)
        for problem in checks.problems(catalog([fee(), fee(amount="1"), fee(id="b", currency="USD")]))
    ]
    assert any("'line' is defined twice" in message for message in found)
    assert any("is USD, but plan" in message for message in found)


def test_fees_in_advance_rest_on_earlier_documents_and_those_in_arrears_do_not() -> None:
    """A close pins the documents only where a bill reads them."""
    assert catalog([fee(due="advance")]).partners[0].looks_back
    assert not catalog([fee()]).partners[0].looks_back
