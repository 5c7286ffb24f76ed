"""Appendices: usage by day and by route sums up to the lines, and is a part of what an invoice proves."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from billing.invoicing import closing, issuing, render
from billing.invoicing.closing import Refused
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from tests.billing import pdf_reader
from tests.billing.catalogs import book, document
from tests.billing.lakes import books, land, request

NOW = datetime(2027, 1, 5, tzinfo=UTC)
ROUTES = ("GET /v1/orders", "POST /v1/orders/{id}", "GET /v1/export", "GET /v1/導出", None)


def catalog(**fields: Any) -> Catalog:
    """One partner with both appendices, whose plan changes on the 16th to one at another price of requests."""
    parts = document()
    card = parts["rate_cards"][0]
    other = json.loads(json.dumps(card)) | {"id": "other"}
    other["versions"][0]["rates"][1]["price"]["tiers"][0]["unit_price"] = "0.4"
    plans = [*parts["plans"], parts["plans"][0] | {"id": "plan-b", "rate_card": "other"}]
    assigned = [
        {"plan": "plan-a", "valid_from": "2026-01-01", "valid_to": "2026-10-16"},
        {"plan": "plan-b", "valid_from": "2026-10-16"},
    ]
    partner = parts["partners"][0] | {"appendices": ["days", "routes"], "plans": assigned} | fields
    return book(partners=[partner], plans=plans, rate_cards=[card, other])


def rows(count: int = 120, routes: Iterable[str | None] = ROUTES) -> list[dict[str, Any]]:
    """Requests all over October in Berlin, also in the hour that its clocks repeat and at both ends of days."""
    random, known = Random(5), list(routes)
    times = [
        f"2026-10-{random.randint(1, 31):02}T{random.choice(('00:00', '00:30', '11:15', '22:59'))}+01:00"
        for _ in range(count)
    ]
    times = [time for time in times if time > "2026-10-01T00:30"]
    times += ["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-31T23:59:59.999999+01:00"]
    return [
        request(time, name=str(n), route=random.choice(known), response_bytes=random.randint(0, 10**9))
        for n, time in enumerate(times)
    ]


def issued(root: Path, by: Catalog) -> dict[str, Any]:
    """The document of October's invoice."""
    made = closing.close(Lake(root), by, "2026-10", "north", prove=books(root), now=NOW)
    (invoice,) = issuing.issue(Lake(root), made, now=NOW).invoices
    return dict(invoice.document)


def test_the_rows_of_a_line_sum_up_to_its_usage(tmp_path: Path) -> None:
    """Of each metered line, before and after a change of the plan, by day and by route."""
    shown = issued(land(tmp_path / "lake", rows()), catalog())
    metered = [line for line in shown["lines"] if line["meter"]]
    assert len(metered) == 4
    for kind, name in (("days", "day"), ("routes", "route")):
        listed = shown["appendices"][kind]
        assert [each["position"] for each in listed] == [line["position"] for line in metered]
        for each, line in zip(listed, metered, strict=True):
            assert sum(Decimal(row["quantity"]) for row in each["rows"]) == Decimal(line["quantity"]) > 0
            assert each["quantity"] == line["quantity"]
            assert len({row[name] for row in each["rows"]}) == len(each["rows"]) > 1


def test_days_are_those_of_the_partner(tmp_path: Path) -> None:
    """A line lists no day of another line, and a day of 25 hours is one."""
    some = [
        request("2026-10-15T21:59Z", name="a", route="GET /a"),
        request("2026-10-15T22:00Z", name="b", route="GET /a"),
        request("2026-10-25T00:30Z", name="c", route="GET /b"),
        request("2026-10-25T22:45Z", name="d", route="GET /a"),
    ]
    shown = issued(land(tmp_path / "lake", some), catalog())
    requests = [each for each in shown["appendices"]["days"] if each["meter"] == "requests"]
    assert [each["rows"] for each in requests] == [
        [{"day": "2026-10-15", "quantity": "1"}],
        [{"day": "2026-10-16", "quantity": "1"}, {"day": "2026-10-25", "quantity": "2"}],
    ]
    routes = [each for each in shown["appendices"]["routes"] if each["meter"] == "requests"]
    assert routes[1]["rows"] == [{"route": "GET /a", "quantity": "2"}, {"route": "GET /b", "quantity": "1"}]


@pytest.mark.integration
def test_they_are_proved_with_the_invoice(tmp_path: Path) -> None:
    """The same bytes from the pinned tables, whatever came later; and a close stores the days."""
    root, by = land(tmp_path / "lake", rows(40)), catalog(language="de")
    shown = issued(root, by)
    land(root, [request("2026-10-03T12:00Z", name="late", route="GET /late")], "late")
    assert [found.problems for found in issuing.verify(Lake(root))] == [[]]
    made = closing.newest_close(Lake(root), "2026-10", "north")
    assert made is not None
    assert len(made.content["partners"]["acme"]["days"]) == 31
    pages = pdf_reader.pages(render.as_pdf(shown))
    assert sum("Nutzung nach Tagen" in page for page in pages) == 1
    routes = next(page for page in pages if "Nutzung nach Routen" in page)
    assert "GET /v1/導出" in routes
    assert "ohne Route" in routes


def test_only_what_is_asked_for_is_listed(tmp_path: Path) -> None:
    """A partner without appendices has the document of before, and its close as well."""
    root = land(tmp_path / "lake", rows(10))
    shown = issued(root, catalog(appendices=["routes"]))
    assert list(shown["appendices"]) == ["routes"]
    other = issued(land(tmp_path / "other", rows(10)), catalog(appendices=[]))
    assert "appendices" not in other
    made = closing.newest_close(Lake(tmp_path / "other"), "2026-10", "north")
    assert made is not None
    assert "days" not in made.content["partners"]["acme"]


def test_a_route_that_no_font_can_draw_is_refused(tmp_path: Path) -> None:
    """Routes come from the log, so the catalog is not where to look first."""
    root = land(tmp_path / "lake", rows(5, ["GET /ᚠ"]))
    with pytest.raises(Refused, match=r"'ᚠ' \(U\+16A0\) in a route"):
        issued(root, catalog())
    assert "appendices" not in issued(root, catalog(appendices=[]))


def test_an_appendix_is_named_once() -> None:
    """Twice would be a slip of the pen."""
    parts = document()["partners"][0]
    with pytest.raises(ValidationError, match="listed twice"):
        Partner.model_validate(parts | {"appendices": ["days", "days"]})
