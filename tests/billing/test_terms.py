"""Terms of a contract against a second reckoning in fractions, written from docs/contracts.md alone."""

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import BillingPeriod, billing_period
from billing.rating.priced import Amounts
from billing.rating.terms.monthly import monthly
from billing.rating.terms.own_prices import rates
from schemas.catalog import checks
from schemas.catalog.records import Catalog, Partner, RateCardVersion
from schemas.money import MINOR_UNITS
from tests.billing.catalogs import book, document

PLACES = MINOR_UNITS["EUR"]
CENTS = st.integers(0, 10**7).map(lambda cents: Decimal(cents).scaleb(-PLACES))
AMOUNTS = st.integers(1, 10**8).map(lambda n: Decimal(n).scaleb(-4))
PERCENT = st.integers(1, 10_000).map(lambda n: Decimal(n).scaleb(-2))
MONTH = {"valid_from": "2026-10-01", "valid_to": "2026-11-01"}


def terms(**fields: Any) -> Partner:
    """Acme with these terms."""
    return catalog(**fields).partners[0]


def catalog(**fields: Any) -> Catalog:
    return book(partners=[document()["partners"][0] | fields])


def october(partner: Partner) -> BillingPeriod:
    period = billing_period(catalog(), partner, "2026-10", None)
    assert period is not None
    return period


def to_cents(amount: Fraction) -> Fraction:
    """Half away from zero."""
    cents = math.floor(abs(amount) * 100 + Fraction(1, 2))
    return Fraction(cents if amount >= 0 else -cents, 100)


def reckoned(lines: dict[str, Decimal], discounts: list[dict[str, Any]], most: Any, least: Any) -> list[Fraction]:
    """The amounts that the terms add, in order, those of 0 left out."""
    meters = {meter: Fraction(amount) for meter, amount in lines.items()}
    total = sum(meters.values(), Fraction(0))
    found = []
    for of_meter in (True, False):
        for discount in (d for d in discounts if ("meter" in d) is of_meter):
            base = meters[discount["meter"]] if of_meter else total
            wanted = (
                base * Fraction(discount["percent"]) / 100 if "percent" in discount else Fraction(discount["amount"])
            )
            off = to_cents(min(wanted, base))
            if of_meter:
                meters[discount["meter"]] -= off
            total -= off
            found.append(-off)
    if most is not None and total > to_cents(Fraction(most)):
        found.append(to_cents(Fraction(most)) - total)
        total = to_cents(Fraction(most))
    if least is not None and total < to_cents(Fraction(least)):
        found.append(to_cents(Fraction(least)) - total)
    return [amount for amount in found if amount]


@st.composite
def discount_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Discounts as a catalog has them, without validity."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        discount: dict[str, Any] = {}
        if draw(st.booleans()):
            discount["percent"] = str(draw(PERCENT))
        else:
            discount |= {"amount": str(draw(AMOUNTS)), "currency": "EUR"}
        if draw(st.booleans()):
            discount["meter"] = draw(st.sampled_from(["requests", "egress"]))
        found.append(discount)
    return found


@given(
    requests=CENTS, egress=CENTS, discounts=discount_lists(), most=st.none() | AMOUNTS, least=st.none() | AMOUNTS
)  # fmt: skip
def test_a_month_costs_what_the_contract_says(
    requests: Decimal, egress: Decimal, discounts: list[dict[str, Any]], most: Decimal | None, least: Decimal | None
) -> None:
    """Order, rounding and limits, by a reckoning that shares no code."""
    bounds = {
        name: [] if amount is None else [{"amount": str(amount), "currency": "EUR", **MONTH}]
        for name, amount in (("maximums", most), ("minimums", least))
    }
    partner = terms(discounts=[d | MONTH for d in discounts], **bounds)
    lines = {"requests": requests, "egress": egress}
    found = monthly(partner, october(partner), Amounts("EUR", requests + egress, lines))
    assert [Fraction(extra.amount) for extra in found] == reckoned(lines, discounts, most, least)
    assert all(abs(extra.amount - extra.exact) < Decimal(1).scaleb(-PLACES) for extra in found)


@pytest.mark.parametrize(("percent", "taken"), [("10", "1.00"), ("100", "2.00")])
def test_a_discount_of_a_meter_takes_no_more_than_there_is_on_the_bill(percent: str, taken: str) -> None:
    """Requests cost 10.00, and a rebate of another meter is 8.00, so that 2.00 are left."""
    partner = terms(discounts=[{"meter": "requests", "percent": percent} | MONTH])
    lines = {"requests": Decimal(10), "egress": Decimal(-8)}
    (found,) = monthly(partner, october(partner), Amounts("EUR", Decimal(2), lines))
    assert (found.amount, found.facts["base"]) == (-Decimal(taken), "10.00")


@pytest.mark.parametrize(
    ("prorated", "plans", "limit"),
    [
        ("false", [{"plan": "plan-a", "valid_from": "2026-10-16"}], "745"),
        ("true", [{"plan": "plan-a", "valid_from": "2026-10-16"}], "385"),
        ("true", [{"plan": "plan-a", "valid_from": "2026-01-01"}], "745"),
    ],
)
def test_a_minimum_of_a_part_of_a_month_is_whole_unless_prorated(
    prorated: str, plans: list[dict[str, str]], limit: str
) -> None:
    """October has 745 hours in Berlin, 385 of them from the 16th on."""
    bound = {"amount": "745", "currency": "EUR", "prorated": prorated, **MONTH}
    partner = terms(minimums=[bound], plans=plans)
    (extra,) = monthly(partner, october(partner), Amounts("EUR", Decimal(0), {}))
    assert extra.amount == Decimal(limit)


def test_a_term_changes_only_its_months() -> None:
    """The month before and the month after cost what the lines cost."""
    partner = terms(discounts=[{"percent": "10", **MONTH}])
    for label, count in (("2026-09", 0), ("2026-10", 1), ("2026-11", 0)):
        period = billing_period(catalog(), partner, label, None)
        assert period is not None
        assert len(monthly(partner, period, Amounts("EUR", Decimal(5), {}))) == count


CARD = RateCardVersion.model_validate(
    {
        "valid_from": "2026-01-01",
        "rates": [
            {"description": "Fee", "price": {"model": "flat", "amount": "1"}},
            {"meter": "requests", "price": {"model": "per_unit", "unit_price": "2"}},
            {"meter": "egress", "price": {"model": "per_unit", "unit_price": "3"}},
            {"meter": "requests", "price": {"model": "per_unit", "unit_price": "4"}},
        ],
    }
)


@pytest.mark.parametrize(
    ("own", "day", "prices"),
    [
        ([("requests", "", "9")], "2026-10-01", ["1", "9", "3"]),
        ([("requests", "", "9")], "2026-09-30", ["1", "2", "3", "4"]),
        ([("requests", "", "9")], "2026-11-01", ["1", "2", "3", "4"]),
        ([(None, "Fee", "9")], "2026-10-31", ["9", "2", "3", "4"]),
        ([(None, "Other", "9")], "2026-10-31", ["1", "2", "3", "4", "9"]),
        ([("requests", "a", "8"), ("requests", "b", "9")], "2026-10-31", ["1", "8", "9", "3"]),
    ],
)
def test_an_own_rate_stands_in_the_place_of_the_cards(
    own: list[tuple[str | None, str, str]], day: str, prices: list[str]
) -> None:
    """Only what differs is named; everything else stays."""
    named = [
        {
            **({"meter": meter} if meter else {}),
            "description": text,
            "price": {"model": "per_unit", "unit_price": price} if meter else {"model": "flat", "amount": price},
        }
        for meter, text, price in own
    ]
    partner = terms(prices=[{"currency": "EUR", "rates": named, **MONTH}])
    found = rates(partner, "plan-a", CARD, date.fromisoformat(day))
    shown = [str(r.price.model_dump(exclude={"model", "proration"}).popitem()[1]) for r in found]
    assert shown == prices


REQUESTS = {"meter": "requests", "price": {"model": "per_unit", "unit_price": "1"}}


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        (
            {"minimums": [{"amount": "1", "currency": "USD", **MONTH}]}, ("minimums", 0, "currency"),
            "is USD, but plan 'plan-a' is priced in EUR; write the amounts in EUR",
        ),
        (
            {"discounts": [{"amount": "1", "currency": "USD", **MONTH}]}, ("discounts", 0, "currency"),
            "is USD, but plan 'plan-a' is priced in EUR",
        ),
        (
            {"prices": [{"currency": "USD", "rates": [REQUESTS], **MONTH}]}, ("prices", 0, "currency"),
            "is USD, but plan 'plan-a' is priced in EUR",
        ),
        (
            {"maximums": [{"amount": "1", "currency": "EUR", **MONTH}] * 2}, ("maximums", 1),
            "overlaps an earlier one; end one before the other begins",
        ),
        (
            {"prices": [{"currency": "EUR", "rates": [REQUESTS], **MONTH}] * 2}, ("prices", 1),
            "'requests' already has an own price at that time",
        ),
        (
            {"prices": [{"plan": "plan-b", "currency": "EUR", "rates": [REQUESTS], **MONTH}]}, ("prices", 0, "plan"),
            "no plans entry has the id 'plan-b'",
        ),
        (
            {"discounts": [{"meter": "calls", "percent": "1", **MONTH}]}, ("discounts", 0, "meter"),
            "no meters entry has the id 'calls'",
        ),
    ],
)  # fmt: skip
def test_terms_that_contradict_the_catalog_are_refused(
    fields: dict[str, Any], where: tuple[str | int, ...], says: str
) -> None:
    """Each problem names the field and the remedy."""
    found = checks.problems(catalog(**fields))
    assert found[0].where == ("partners", 0, *where)
    assert says in found[0].message


def test_terms_that_follow_each_other_are_fine() -> None:
    """That is how a ramp is written. A term in another currency may hold while the partner has no plan."""
    first = {"amount": "1", "currency": "EUR", "valid_from": "2026-01-01", "valid_to": "2026-02-01"}
    second = {"amount": "2", "currency": "EUR", "valid_from": "2026-02-01"}
    early = {"amount": "3", "currency": "USD", "valid_from": "2025-01-01", "valid_to": "2026-01-01"}
    assert checks.problems(catalog(minimums=[first, second, early])) == []
