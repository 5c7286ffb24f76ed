"""What a meter's filter counts: nothing that a client writes, and no spelling of a pattern, makes a call uncounted."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.catalog import routes
from schemas.catalog.records import Catalog
from schemas.catalog.routes import BadPattern, Calls
from tests.billing.catalogs import document
from tests.billing.lakes import land, request

pytestmark = pytest.mark.integration

OCTOBER = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))


def metered(**filters: Any) -> Catalog:
    meter = {"id": "m", "aggregate": "count", "unit": "requests", "billable": "false", "filter": filters}
    made = document()
    return Catalog.model_validate({**made, "meters": [*made["meters"], meter]})


def counted(root: Path, **filters: Any) -> int:
    """What the filter counts in October, by all who ask: invoices, and the search for an alert's event."""
    book, span = metered(**filters), Span("acme", "m", *OCTOBER)
    house = Warehouse(Lake(root))
    (used,) = house.usage(book, [span])
    assert (house.crossing(book, span, used) is not None) == (used > 0)
    assert house.crossing(book, span, used + 1) is None
    return int(used)


def lake(root: Path, *calls: tuple[str | None, str | None]) -> Path:
    rows = [
        request("2026-10-05T10:00Z", name=str(n), method=method, route=route) for n, (method, route) in enumerate(calls)
    ]
    return land(root, rows)


def test_a_method_counts_in_any_case(tmp_path: Path) -> None:
    """`post` was not billed where POST is, and nobody was told."""
    root = lake(tmp_path / "lake", ("POST", None), ("post", None), ("Post", None), ("GET", None), (None, None))
    assert counted(root, methods=["GET", "POST"]) == 4
    assert counted(root, methods=["post"]) == 3


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize(
    "written",
    [
        "/v1/export/", "/V1/Export", "//v1//export", "/v1/%65xport", "/v1/%2565xport", "/v1/./export", "/v1/x/../export", "/v1;a=b/export;c",
        "/v1/export?x=1", "/v1/export#x", "/v1\\export", "GET /v1/export", "ANY /v1/export/",
    ],
)  # fmt: skip
def test_a_path_counts_however_a_client_writes_it(tmp_path: Path, written: str) -> None:
    """Where a source's route is the path itself, a client writes it."""
    root = lake(tmp_path / "lake", ("GET", written), ("GET", "/v1/exports"))
    assert counted(root, routes=["/v1/export"]) == 1
    assert counted(root, routes=["GET /v1/export"]) == 1
    assert counted(root, routes=["/V1/%65xport/"]) == 1
    assert counted(root, routes=["POST /v1/export"]) == 0


def test_names_count_as_the_gateway_gives_them(tmp_path: Path) -> None:
    """They are no paths: two that differ in case are two routes."""
    root = lake(tmp_path / "lake", ("GET", "export"), ("GET", "Export"), ("GET", "export-v2"), ("GET", None))
    assert counted(root, routes=["export"]) == 1
    assert counted(root, routes=["export*"]) == 2
    assert counted(root, routes=["**"]) == 3


def test_methods_and_routes_must_both_pass(tmp_path: Path) -> None:
    """And a route that names its method has one also where the log has none."""
    root = lake(tmp_path / "lake", ("get", "/v1/a"), ("POST", "/v1/a"), ("GET", "/v1/b"), (None, "GET /v1/a"))
    assert counted(root, methods=["GET"], routes=["/v1/a"]) == 2
    assert counted(root, routes=["get /v1/*"]) == 3


def test_the_server_says_the_status(tmp_path: Path) -> None:
    """No status is 0; every other number is of the class that it begins with."""
    rows = [request("2026-10-05T10:00Z", name=str(s), status=s) for s in (200, 201, 404, 429, 499, 500, 503, None)]
    root = land(tmp_path / "lake", rows)
    assert counted(root, status=["2xx", "0"]) == 3
    assert counted(root, exclude_status=["429", "5xx"]) == 5


PATTERNS = [
    ("/v1/orders/{orderId}", ["/v1/orders/{orderId}", "/v1/orders/7", "GET /v1/orders/7"], ["/v1/orders", "/v1/orders/7/x"]),
    ("/v1/{proxy+}", ["/v1/{proxy+}", "/v1/a/b", "/v1", "/v1/"], ["/v12", "/"]),
    ("/v1/**", ["/v1", "/v1/a/b/c", "/V1/"], ["/v2", "v1"]),
    ("/**/export", ["/export", "/v1/export", "/a/b/export"], ["/v1/exports", "export"]),
    ("/v1/*/x", ["/v1/a/x", "/v1/*/x"], ["/v1/x", "/v1/a/b/x"]),
    ("/v1/ex*", ["/v1/ex", "/v1/export"], ["/v1/ex/port"]),
    ("*", ["export", "$default"], ["/v1", "a/b"]),
    ("**", ["export", "/v1", "a/b"], []),
    ("/", ["/", "//", "/?x"], ["/a", ""]),
    ("$default", ["$default"], ["default"]),
    ("REST.GET.OBJECT", ["REST.GET.OBJECT"], ["RESTxGETxOBJECT", "rest.get.object"]),
    ("arn:aws:x/(a|b)+[c]", ["arn:aws:x/(a|b)+[c]"], ["arn:aws:x/ac"]),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "matched", "others"), PATTERNS, ids=[p for p, *_ in PATTERNS])
def test_a_pattern_matches(pattern: str, matched: list[str], others: list[str]) -> None:
    """A pattern is no regular expression, and matches the route that is written like it."""
    calls = Calls([None] * len(matched + others), [*matched, *others])
    assert calls.matching(pattern).tolist() == [True] * len(matched) + [False] * len(others)


@given(
    st.text(st.characters(exclude_characters="{}*", exclude_categories=["Cs"]), min_size=1, max_size=30), st.booleans()
)
def test_a_route_without_wildcards_is_a_pattern_that_matches_it(name: str, is_path: bool) -> None:
    """Catalogs from before patterns count what they counted."""
    route = f"/{name}" if is_path else name
    try:
        found = Calls([None], [route]).matching(route)
    except BadPattern:
        assert route != route.strip() or re.search("[?#]", route)
    else:
        assert found.tolist() == [True]


@given(
    st.text(st.sampled_from("/*{}+a. %\\;?#GET "), max_size=40),
    st.text(st.sampled_from("/*{}+a. %\\;?#GET\n"), max_size=40),
)
def test_no_text_is_an_error_that_nobody_expects(pattern: str, route: str) -> None:
    """Either may be anything: a pattern is refused by its name, a route is compared."""
    try:
        routes.parsed(pattern)
    except BadPattern:
        return
    assert Calls([None], [route]).matching(pattern).shape == (1,)


def test_a_hostile_pattern_takes_linear_time() -> None:
    """What backtracks would not come to an end here."""
    assert not Calls([None], ["/" + "a" * 50_000]).matching("/" + "*a" * 200 + "b").any()


def test_a_sum_over_many_routes_is_the_sum_of_the_chosen(tmp_path: Path) -> None:
    """Two partners, several sources: only the partner's own calls."""
    mine = [request("2026-10-05T10:00Z", name=str(n), route=f"/v1/orders/{n}", source=f"s{n % 2}") for n in range(20)]
    root = land(tmp_path / "lake", [*mine, request("2026-10-05T10:00Z", "zeta", route="/v1/orders/1")])
    assert counted(root, routes=["/v1/orders/{id}"]) == 20
    assert Warehouse(Lake(root)).usage(metered(routes=["/v1/orders/1*"]), [Span("acme", "m", *OCTOBER)]) == [
        Decimal(11)
    ]
