"""One name for a route that gateways log differently, and own traffic: claimed where no credential says whose it is, and nowhere else."""

from typing import Any

import pyarrow as pa
import pytest

from billing.catalog import loading as catalogs
from ingest.attribution.catalog_rules import attribution, source_rules
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import LIMITS, Decoded, Decoder
from schemas.catalog.records import Catalog
from tests.ingest.fixtures import T0_MS, kong, line
from tests.ingest.mutated_lines import APIGW
from tests.ingest.test_decode import HOSTILE
from tests.tollbook.fixtures import ROOT

ENTITY = {"id": "seller", "name": "Seller", "invoice_prefix": "S"}
PARTNERS: list[dict[str, Any]] = [
    {"id": "acme", "name": "Acme", "legal_entity": "seller", "time_zone": "Etc/UTC", "credentials": [
        {"kind": "consumer", "id": "c-acme"},
        {"kind": "consumer", "id": "c-ended", "valid_to": "2026-09-01"},
    ]},
    {"id": "us", "name": "Us", "status": "internal", "time_zone": "Etc/UTC", "credentials": [{"kind": "consumer", "id": "c-us"}]},
]  # fmt: skip
ALL = {"partner": "us", "without_credential": True}
SOME = {"partner": "us", "routes": ["/health", "/own/**"]}


def catalog(**source: Any) -> Catalog:
    return Catalog.model_validate(
        {"legal_entities": [ENTITY], "partners": PARTNERS, "sources": [{"id": "edge", **source}]}
    )


def decode(book: Catalog, *lines: bytes, limits: dict[str, Any] | None = None, templates_from: int = 20_000) -> Decoded:
    decoder = Decoder("kong", source_rules(book, "edge", None), attribution(book), templates_from=templates_from)
    framed = split_lines(b"".join(lines), 0)
    if limits is None:
        return decoder.decode(framed, "g")
    rows = [
        {"position": position, "earliest_us": 0, "latest_us": 1 << 62, **limits}
        for position in framed.lines["position"].to_pylist()
    ]
    return decoder.decode(framed, "g", pa.Table.from_pylist(rows, LIMITS))


def became(decoded: Decoded) -> list[tuple[str, str | None]]:
    """(partner or reason, route of what is counted) of each line, in order."""
    rows = [(r["position"], r["partner_id"], r["route"]) for r in decoded.events.to_pylist()]
    rows += [(r["position"], r["reason"], None) for r in decoded.refused.to_pylist()]
    return [(who, route) for _, who, route in sorted(rows)]


def call(route: str | None = "orders", consumer: str | None = "c-acme", method: str = "GET", **more: Any) -> bytes:
    return line(
        kong(None, route=route and {"name": route}, consumer=consumer and {"id": consumer}, request__method=method)
        | more
    )


def test_routes_get_the_name_of_the_first_pattern_that_matches() -> None:
    """Other routes keep the logged name; a pattern may require a method, even if the route itself has none."""
    book = catalog(
        routes=[
            {"logged": "POST /v1/orders", "name": "order"},
            {"logged": "/v1/orders/**", "name": "/v1/orders"},
            {"logged": "export-*", "name": "/v1/export"},
        ]
    )
    calls = [
        call("/v1/orders", method="POST"),
        call("/v1/orders/7"),
        call("/v1/orders"),
        call("export-eu"),
        call("other"),
        call(None),
    ]
    assert became(decode(book, *calls)) == [
        ("acme", "order"), ("acme", "/v1/orders"), ("acme", "/v1/orders"), ("acme", "/v1/export"), ("acme", "other"), ("acme", None),
    ]  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize(
    "templates_from",
    [pytest.param(1, id="templates"), pytest.param(10**9, id="each by the statement", marks=pytest.mark.slow)],
)
def test_many_lines_are_named_like_few(templates_from: int) -> None:
    """Lines of one template have one route name, and are claimed together."""
    book = catalog(routes=[{"logged": "export", "name": "/v1/export"}], own=SOME)
    routes = ["export", "orders", "/own/a", "/health", None]
    calls = [call(routes[n % 5], consumer=("c-acme", None, "nobody")[n % 3], started_at=T0_MS + n) for n in range(300)]
    got = became(decode(book, *calls, templates_from=templates_from))
    alone = [became(decode(book, one))[0] for one in calls[:15]]
    assert got == alone * 20
    assert {who for who, _ in got} == {"acme", "us", "NO_PARTNER", "UNKNOWN_CREDENTIAL"}


@pytest.mark.parametrize(
    ("own", "route", "consumer", "who"),
    [
        pytest.param(ALL, "orders", None, "us", id="no credential"),
        pytest.param(ALL, None, None, "us", id="no credential and no route"),
        pytest.param(ALL, "orders", "c-acme", "acme", id="a partner's credential"),
        pytest.param(ALL, "orders", "c-us", "us", id="its own credential"),
        pytest.param(ALL, "orders", "nobody", "UNKNOWN_CREDENTIAL", id="an unknown credential"),
        pytest.param(ALL, "orders", "c-ended", "CREDENTIAL_NOT_VALID", id="a partner's credential that has ended"),
        pytest.param(SOME, "/health", None, "us", id="a claimed route"),
        pytest.param(SOME, "/own/a/b", None, "us", id="below a claimed route"),
        pytest.param(SOME, "/health", "c-acme", "acme", id="a partner on a claimed route pays"),
        pytest.param(SOME, "/health", "nobody", "UNKNOWN_CREDENTIAL", id="an unknown credential on a claimed route"),
        pytest.param(SOME, "/health", "c-ended", "CREDENTIAL_NOT_VALID", id="an ended credential on a claimed route"),
        pytest.param(SOME, "/other", None, "NO_PARTNER", id="another route"),
        pytest.param(SOME, None, None, "NO_PARTNER", id="no route"),
        pytest.param(None, "/health", "c-us", "us", id="by its credential alone"),
        pytest.param(None, "/health", None, "NO_PARTNER", id="nothing is claimed"),
    ],
)
def test_who_is_given_a_line(own: dict[str, Any] | None, route: str | None, consumer: str | None, who: str) -> None:
    """A partner's credential takes precedence over any claim; an unknown credential stays refused."""
    got = decode(catalog(own=own), call(route, consumer))
    assert became(got) == [(who, route if who in {"acme", "us"} else None)]
    assert got.events["suspended"].to_pylist() in ([], [False])


def test_claims_see_the_name_that_a_route_is_given() -> None:
    """Otherwise a claim would apply to one gateway and not to the next."""
    book = catalog(own={"partner": "us", "routes": ["/health"]}, routes=[{"logged": "probe", "name": "/health"}])
    assert became(decode(book, call("probe", None), call("/health", None))) == [("us", "/health")] * 2


@pytest.mark.parametrize(
    ("tag", "may_tag", "who"),
    [
        ("acme", True, "acme"),
        ("us", True, "us"),
        ("ghost", True, "UNKNOWN_PARTNER"),
        ("acme", False, "TAG_NOT_ALLOWED"),
    ],
)
def test_a_tag_goes_before_a_claim(tag: str, may_tag: bool, who: str) -> None:
    """A line that names a partner is never own traffic by its route."""
    book = catalog(own=ALL, partner_field="partner", may_tag=may_tag)
    assert became(decode(book, call("orders", None, partner=tag)))[0][0] == who


@pytest.mark.parametrize(("key", "who"), [("acme", "KEY_MISMATCH"), ("us", "us"), (None, "us")])
def test_a_records_key_that_names_a_partner_goes_before_a_claim(key: str | None, who: str) -> None:
    """The key names the owner of the record; the refusal names what contradicts it."""
    got = decode(catalog(own=ALL, key_is_partner=True), call("orders", None), limits={"key": key})
    assert became(got)[0][0] == who
    if who == "KEY_MISMATCH":
        assert got.refused["detail"].to_pylist() == ["record key acme, but the line is of us"]


def test_whatever_the_lines_are_none_is_lost() -> None:
    """Claims only take from refusals, and add nothing."""
    lines = [text if text.endswith(b"\n") else text + b"\n" for text in HOSTILE]
    plain, claimed = decode(catalog(), *lines), decode(catalog(own=ALL, routes=[{"logged": "**", "name": "x"}]), *lines)
    assert claimed.events.num_rows + claimed.refused.num_rows == plain.events.num_rows + plain.refused.num_rows
    assert "NO_PARTNER" not in claimed.refused["reason"].to_pylist()


def test_the_routes_of_the_example_have_one_name_each() -> None:
    """HTTP APIs log `GET /v1/export`, Kong `export`, REST APIs the path."""
    book = catalogs.load(ROOT / "examples" / "catalog")
    named = {}
    for source, format_name, record in [
        ("rest", "aws_apigw", APIGW | {"resourcePath": "/v1/export", "apiKeyId": "k9x2m4p6q8"}),
        ("http", "aws_apigw", {k: v for k, v in APIGW.items() if k != "resourcePath"} | {"routeKey": "GET /v1/export", "apiKeyId": "k9x2m4p6q8"}),
        ("kong", "kong", kong(route__name="export", consumer__id="7d4c1f0e-52b1-4a55-9f2e-0c6a1b9e4d21")),
    ]:  # fmt: skip
        decoder = Decoder(format_name, source_rules(book, source, None), attribution(book))
        named[source] = decoder.decode(split_lines(line(record), 0), "g").events["route"].to_pylist()
    assert named == {"rest": ["/v1/export"], "http": ["/v1/export"], "kong": ["/v1/export"]}
