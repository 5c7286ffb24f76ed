"""Lines of measured meters, each worked out by hand: what splits at a new price, and what it comes to."""

from decimal import Decimal
from typing import Any

from billing.periods import billing_period
from billing.rating import drafts, outlines
from billing.rating.drafts import Draft
from schemas.catalog.records import Catalog
from tests.billing.catalogs import document

Days = tuple[str, str]
DEARER = "2026-10-16"


def rate(meter: str, price: str, **more: Any) -> dict[str, Any]:
    return {"meter": meter, "price": {"model": "per_unit", "unit_price": price}, **more}


def catalog(
    meters: list[dict[str, Any]], versions: dict[str, list[dict[str, Any]]], plans: list[dict[str, str]] | None = None
) -> Catalog:
    """Acme with these meters and prices alone, in Berlin."""
    parts = document()
    parts["meters"] = meters
    parts["rate_cards"][0]["versions"] = [{"valid_from": day, "rates": rates} for day, rates in versions.items()]
    parts["plans"][0]["quotas"] = []
    parts["partners"] = [parts["partners"][0] | ({} if plans is None else {"plans": plans})]
    return Catalog.model_validate(parts)


def priced(book: Catalog, usage: dict[tuple[str, str], str]) -> Draft:
    """October of acme. `usage` has the value of a span by meter and first day; no other span may be asked for."""
    period = billing_period(book, book.partners[0], "2026-10", None)
    assert period is not None
    outline = outlines.outline(book, book.partners[0], period)
    days = {x.interval.start: x.interval.first_day.isoformat() for x in outline.lines}
    days |= {gap.start: gap.first_day.isoformat() for gap, _ in outline.unplanned}
    counted = [Decimal(usage[span.meter, days[span.start]]) for span in outline.spans()]
    made, problems = drafts.draft(book, outline, counted)
    assert problems == []
    assert made is not None
    return made


def lines(draft: Draft) -> list[tuple[str | None, str, str, str]]:
    return [
        (x.rate.meter, x.interval.first_day.isoformat(), x.interval.last_day.isoformat(), str(x.charge.amount))
        for x in draft.lines
    ]


def meter(name: str, aggregate: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "aggregate": aggregate, "quantity": "seats", "unit": "seats", **more}


def test_input_and_output_tokens_have_prices_of_their_own_per_thousand() -> None:
    """An AI gateway: 12,345 tokens in at 0.50 a thousand are 6.1725, and 2,000 out at 1.50 are 3.00."""
    kinds = [
        {"id": name, "aggregate": "sum", "quantity": name, "unit": "thousand tokens", "divide_by": "1000"}
        for name in ("input", "output")
    ]
    book = catalog(kinds, {"2026-01-01": [rate("input", "0.50"), rate("output", "1.50")]})
    made = priced(book, {("input", "2026-10-01"): "12345", ("output", "2026-10-01"): "2000"})
    assert [str(x.quantity) for x in made.lines] == ["12.345", "2"]
    assert [str(x.charge.exact) for x in made.lines] == ["6.17250", "3.00"]
    assert made.total == Decimal("9.17")


def test_a_new_price_splits_sums_and_counts_and_nothing_else() -> None:
    """From the 16th a unit costs 2 instead of 1. 10 + 20 units cost 50; the greatest of the month, 7, costs 14."""
    meters = [meter("sum", "sum"), {"id": "count", "aggregate": "count", "unit": "u", "filter": {"types": ["t"]}}]
    meters += [meter("max", "max"), meter("latest", "latest")]
    meters += [{"id": "unique", "aggregate": "unique", "attribute": "user", "unit": "users"}]
    names = [each["id"] for each in meters]
    versions = {"2026-01-01": [rate(n, "1") for n in names], DEARER: [rate(n, "2") for n in names]}
    usage = {("sum", "2026-10-01"): "10", ("sum", DEARER): "20", ("count", "2026-10-01"): "3", ("count", DEARER): "4"}
    usage |= {("max", "2026-10-01"): "7", ("latest", "2026-10-01"): "5", ("unique", "2026-10-01"): "2"}
    assert lines(priced(catalog(meters, versions), usage)) == [
        ("sum", "2026-10-01", "2026-10-15", "10.00"),
        ("count", "2026-10-01", "2026-10-15", "3.00"),
        ("max", "2026-10-01", "2026-10-31", "14.00"),
        ("latest", "2026-10-01", "2026-10-31", "10.00"),
        ("unique", "2026-10-01", "2026-10-31", "4.00"),
        ("sum", "2026-10-16", "2026-10-31", "40.00"),
        ("count", "2026-10-16", "2026-10-31", "8.00"),
    ]


def test_the_last_version_prices_the_month_with_all_its_rates() -> None:
    """The first version had one rate of the meter, and the second has two: a month of 7 costs 7 * 2 and 7 * 0.1."""
    versions = {"2026-01-01": [rate("max", "1")], DEARER: [rate("max", "2"), rate("max", "0.1", description="Extra")]}
    made = priced(catalog([meter("max", "max")], versions), {("max", "2026-10-01"): "7"})
    assert lines(made) == [
        ("max", "2026-10-01", "2026-10-31", "14.00"),
        ("max", "2026-10-01", "2026-10-31", "0.70"),
    ]
    fewer = {"2026-01-01": versions[DEARER], DEARER: [rate("max", "3")]}
    made = priced(catalog([meter("max", "max")], fewer), {("max", "2026-10-01"): "7"})
    assert lines(made) == [("max", "2026-10-01", "2026-10-31", "21.00")]


def test_each_stay_under_a_plan_has_a_value_of_its_own() -> None:
    """A partner that leaves a plan for some days and returns: the days between are of no line."""
    plans = [
        {"plan": "plan-a", "valid_from": "2026-01-01", "valid_to": "2026-10-11"},
        {"plan": "plan-a", "valid_from": "2026-10-21"},
    ]
    book = catalog([meter("max", "max")], {"2026-01-01": [rate("max", "1")]}, plans)
    usage = {("max", "2026-10-01"): "7", ("max", "2026-10-21"): "4", ("max", "2026-10-11"): "0"}
    assert lines(priced(book, usage)) == [
        ("max", "2026-10-01", "2026-10-10", "7.00"),
        ("max", "2026-10-21", "2026-10-31", "4.00"),
    ]
