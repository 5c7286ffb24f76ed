"""From usage to draft invoices: nothing left out, nothing twice, every line to the minor unit."""

from datetime import UTC
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import billing_period
from billing.rating import drafts, outlines
from billing.rating.drafts import Draft
from billing.rating.outlines import DraftOutline
from schemas.catalog.records import Catalog
from schemas.money import MINOR_UNITS
from tests.billing.catalogs import book, document

D = Decimal
COUNTS = st.integers(0, 10**15).map(D)


def outline_of(catalog: Catalog, label: str = "2026-10") -> DraftOutline:
    """What acme's month asks for."""
    period = billing_period(catalog, catalog.partners[0], label, None)
    assert period is not None
    return outlines.outline(catalog, catalog.partners[0], period)


def drafted(catalog: Catalog, usage: dict[str, Decimal], label: str = "2026-10") -> tuple[Draft | None, list[str]]:
    """Acme's draft, if there is one, when each span of a meter counted what `usage` says."""
    outline = outline_of(catalog, label)
    return drafts.draft(catalog, outline, [usage.get(span.meter, D(0)) for span in outline.spans()])


def rated(catalog: Catalog, usage: dict[str, Decimal], label: str = "2026-10") -> tuple[Draft, list[str]]:
    """The same where there is one."""
    draft, problems = drafted(catalog, usage, label)
    assert draft is not None
    return draft, problems


def priced(**changes: Any) -> Catalog:
    """The catalog with changes to its one rate card."""
    parts = document()
    parts["rate_cards"][0] |= changes
    return book(rate_cards=parts["rate_cards"])


@cache
def in_currency(currency: str) -> Catalog:
    return priced(currency=currency)


def versions(*starts: str) -> list[dict[str, Any]]:
    rates = document()["rate_cards"][0]["versions"][0]["rates"]
    return [{"valid_from": start, "rates": rates} for start in starts]


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD", "CLF"])
@given(requests=COUNTS, egress=COUNTS)
def test_lines_sum_to_the_total(currency: str, requests: Decimal, egress: Decimal) -> None:
    """To the minor unit: the partner adds the lines up, and so does its bank."""
    draft, problems = rated(in_currency(currency), {"requests": requests, "egress": egress})
    assert problems == []
    assert draft.total == sum(line.charge.amount for line in draft.lines)
    unit = D(1).scaleb(-MINOR_UNITS[currency])
    assert all(line.charge.amount % unit == 0 for line in draft.lines)


@given(requests=COUNTS, egress=COUNTS)
def test_the_bill_never_falls_with_usage(requests: Decimal, egress: Decimal) -> None:
    """The tests' rate card is graduated and per unit."""
    less, _ = rated(in_currency("EUR"), {"requests": requests, "egress": egress})
    more, _ = rated(in_currency("EUR"), {"requests": requests + 1, "egress": egress + 1})
    assert less.total <= more.total


def test_a_month_is_rated_as_its_rate_card_says() -> None:
    """The whole way by hand: 12 requests are 10 at 0.5 and 2 at 0.125; 2.5 GB less 0.5 are 2 at 0.12; a fee of 31."""
    draft, problems = rated(book(), {"requests": D(12), "egress": D(2_500_000_000)})
    assert problems == []
    assert [(line.rate.meter, line.quantity, line.charge.amount) for line in draft.lines] == [
        (None, 1, D("31.00")),
        ("requests", 12, D("5.25")),
        ("egress", D("2.5"), D("0.24")),
    ]
    assert (draft.total, draft.currency) == (D("36.49"), "EUR")


def test_what_was_not_used_is_no_line() -> None:
    """A fixed fee alone remains; without one, there is no line and so no invoice."""
    assert [line.rate.meter for line in rated(book(), {})[0].lines] == [None]
    parts = document()["rate_cards"][0]["versions"][0]
    without_fee = priced(versions=[parts | {"rates": parts["rates"][1:]}])
    assert drafted(without_fee, {}) == (None, [])


def test_a_fee_that_does_not_change_with_new_prices_is_one_line() -> None:
    """Rounded once, and not in parts."""
    draft, problems = rated(priced(versions=versions("2026-01-01", "2026-10-11")), {})
    assert problems == []
    assert [line.charge.amount for line in draft.lines] == [31]


def test_a_fee_that_changes_within_the_month_is_shared_by_time() -> None:
    """The fee is the month's: each part carries its share of 745 hours."""
    held = versions("2026-01-01", "2026-10-11")
    held[1]["rates"] = [{**held[1]["rates"][0], "price": {"model": "flat", "amount": "62.00"}}, *held[1]["rates"][1:]]
    draft, problems = rated(priced(versions=held), {})
    assert problems == []
    assert [line.charge.amount for line in draft.lines] == [D("9.99"), D("42.03")]  # 240 and 505 of 745 hours


def test_a_plan_that_covers_a_part_of_the_month_carries_that_part_of_the_fee() -> None:
    """From the day it begins, in the partner's own time; usage is billed as it is used."""
    parts = document()["partners"]
    parts[0]["plans"] = [{"plan": "plan-a", "valid_from": "2026-02-15"}]
    draft, _ = rated(book(partners=parts), {"requests": D(12)}, "2026-02")
    assert [line.charge.amount for line in draft.lines] == [D("15.50"), D("5.25")]


def test_usage_is_priced_by_the_version_that_held_when_it_happened() -> None:
    """Each part of the month whose price differs has its own spans, and is outline for its own usage; equal prices
    are one.
    """
    held = versions("2026-01-01", "2026-10-11", "2026-10-21")
    held[2]["rates"] = [
        {"meter": "requests", "price": {"model": "per_unit", "unit_price": "0.1"}},
        *held[2]["rates"][2:],
    ]
    spans = [span for span in outline_of(priced(versions=held)).spans() if span.meter == "requests"][:2]
    hours = [(f"{s.start.astimezone(UTC):%d %H}", f"{s.end.astimezone(UTC):%d %H}") for s in spans]
    assert hours == [("30 22", "20 22"), ("20 22", "31 23")]
    assert spans[0].end == spans[1].start


def test_a_billable_meter_without_a_rate_is_a_problem_with_its_remedy() -> None:
    """Forgotten usage is money lost without a sound: it stops the close, unless the catalog says it is free."""
    parts = document()
    parts["meters"].append({"id": "exports", "aggregate": "count", "unit": "exports"})
    _, problems = rated(book(meters=parts["meters"]), {"exports": D(3)})
    assert len(problems) == 1
    assert "meter exports counted 3" in problems[0]
    assert "add one (a price of 0 is a price), or set `billable: false`" in problems[0]
    assert drafted(book(meters=parts["meters"]), {})[1] == []
    parts["meters"][-1]["billable"] = "false"
    assert rated(book(meters=parts["meters"]), {"exports": D(3)})[1] == []


def test_a_rate_card_that_begins_too_late_is_a_problem() -> None:
    """Nobody can say what the days before it cost."""
    _, problems = drafted(priced(versions=versions("2026-10-11")), {})
    assert len(problems) == 1
    assert "standard has no version for 2026-10-01; add one that is valid from that day" in problems[0]


def test_two_currencies_in_one_month_are_a_problem() -> None:
    """An invoice has one total."""
    parts = document()
    parts["rate_cards"].append(parts["rate_cards"][0] | {"id": "dollars", "currency": "USD"})
    parts["plans"].append({"id": "plan-b", "rate_card": "dollars"})
    parts["partners"][0]["plans"] = [
        {"plan": "plan-a", "valid_from": "2026-01-01", "valid_to": "2026-10-11"},
        {"plan": "plan-b", "valid_from": "2026-10-11"},
    ]
    _, problems = rated(book(**parts), {})
    assert problems == ["partner acme: plans of one month are priced in EUR and USD; use one currency per month"]


def test_a_price_with_too_many_digits_is_a_problem_and_no_crash() -> None:
    """Better no invoice than one that was rounded twice."""
    rates = [{"meter": "requests", "price": {"model": "per_unit", "unit_price": "0." + "1" * 59}}]
    _, problems = drafted(priced(versions=[{"valid_from": "2026-01-01", "rates": rates}]), {"requests": D(10**9 + 1)})
    assert any("no exact amount" in p and "acme" in p and "requests" in p for p in problems)


def tiers(*rows: tuple[str | None, str, str]) -> list[dict[str, str | None]]:
    return [{"up_to": up_to, "unit_price": price, "flat_fee": fee} for up_to, price, fee in rows]


def month_of_two_prices(
    first: dict[str, Any], second: dict[str, Any], counts: tuple[str, str]
) -> list[tuple[Decimal, Decimal]]:
    """Billed quantity and amount of each line, where the price of requests changes on the 16th."""
    rates = [{"meter": "requests", **first}], [{"meter": "requests", **second}]
    egress = {"meter": "egress", "price": {"model": "per_unit", "unit_price": "0"}}
    held = [
        {"valid_from": day, "rates": [*part, egress]}
        for day, part in zip(("2026-01-01", "2026-10-16"), rates, strict=True)
    ]
    outline = outline_of(priced(versions=held))
    amounts = iter(D(c) for c in counts)
    usage = [next(amounts, D(0)) if span.meter == "requests" else D(0) for span in outline.spans()]
    draft, problems = drafts.draft(priced(versions=held), outline, usage)
    assert problems == []
    assert draft is not None
    return [(line.charge.billed_quantity, line.charge.amount) for line in draft.lines]


PER_UNIT = {"price": {"model": "per_unit", "unit_price": "0.10"}, "free_units": "100"}


@pytest.mark.parametrize(
    ("first", "second", "counts", "lines"),
    [
        pytest.param(
            {"price": {"model": "graduated", "tiers": tiers(("1000", "0.10", "0"), (None, "0.05", "0"))}, "free_units": "100"},
            {"price": {"model": "graduated", "tiers": tiers(("1000", "0.08", "0"), (None, "0.04", "0"))}, "free_units": "100"},
            ("600", "500"), [("500", "50.00"), ("500", "40.00")], id="the worked example of docs/pricing.md",
        ),
        pytest.param(
            PER_UNIT, PER_UNIT | {"price": {"model": "per_unit", "unit_price": "0.20"}},
            ("60", "60"), [("20", "4.00")], id="free units reach into the second part",
        ),
        pytest.param(PER_UNIT, PER_UNIT | {"free_units": "50"}, ("80", "40"), [("40", "4.00")], id="fewer free units: those of before are not charged again"),
        pytest.param(
            {"price": {"model": "graduated", "tiers": tiers(("100", "1", "7"), (None, "0", "3"))}},
            {"price": {"model": "graduated", "tiers": tiers(("100", "2", "9"), (None, "0", "5"))}},
            ("0", "150"), [("0", "7.00"), ("150", "205.00")], id="a first tier's fee at zero is due once, the second tier's when it is reached",
        ),
        pytest.param(
            {"price": {"model": "volume", "tiers": tiers(("100", "0.2", "1"), (None, "0.1", "5"))}},
            {"price": {"model": "volume", "tiers": tiers(("150", "0.3", "2"), (None, "0.2", "6"))}},
            ("80", "60"), [("80", "8.00"), ("60", "20.00")], id="volume: the whole month's tier by each line's bounds, the last one's fee",
        ),
        pytest.param(
            {"price": {"model": "package", "package_size": "100", "package_price": "5"}},
            {"price": {"model": "package", "package_size": "100", "package_price": "4"}},
            ("130", "60"), [("130", "10.00"), ("60", "0.00")], id="a package that was begun is begun",
        ),
        pytest.param(
            PER_UNIT, {"price": {"model": "package", "package_size": "100", "package_price": "4"}},
            ("150", "60"), [("50", "5.00"), ("60", "4.00")], id="another model goes on from the same count",
        ),
    ],
)  # fmt: skip
def test_a_price_that_changes_goes_on_from_the_months_count(
    first: dict[str, Any], second: dict[str, Any], counts: tuple[str, str], lines: list[tuple[str, str]]
) -> None:
    """Each line is what its own price asks for the count at its end, less what it asks for the count at its start."""
    assert month_of_two_prices(first, second, counts) == [(D(billed), D(amount)) for billed, amount in lines]


@pytest.mark.integration
@given(first=COUNTS, second=COUNTS)
def test_equal_prices_change_nothing(first: Decimal, second: Decimal) -> None:
    """Whoever repeats a price in a new version, in any order and under another text, bills what was billed without
    it.
    """
    rates = document()["rate_cards"][0]["versions"][0]["rates"]
    again = [{**rate, "description": "the same in other words"} for rate in reversed(rates)]
    whole, _ = rated(book(), {"requests": first, "egress": second})
    twice, _ = rated(
        priced(versions=[{"valid_from": "2026-01-01", "rates": rates}, {"valid_from": "2026-10-16", "rates": again}]),
        {"requests": first, "egress": second},
    )
    assert twice.total == whole.total
    assert len(twice.lines) == len(whole.lines)


def test_a_plan_that_is_taken_up_again_counts_on() -> None:
    """Nobody gets free units, or the first tier, twice by leaving for a day."""
    parts = document()
    parts["partners"][0]["plans"] = [
        {"plan": "plan-a", "valid_from": "2026-01-01", "valid_to": "2026-10-11"},
        {"plan": "plan-a", "valid_from": "2026-10-12"},
    ]
    draft, problems = rated(book(**parts), {"requests": D(8)})
    amounts = [(line.counted_before, line.charge.amount) for line in draft.lines if line.rate.meter == "requests"]
    assert amounts == [(0, D("4.00")), (8, D("1.75"))]  # 8 at 0.5; then 2 at 0.5 and 6 at 0.125
    assert problems != []  # the day between has no plan, and the test's usage fills every span
