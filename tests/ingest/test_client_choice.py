"""A client cannot choose not to be billed: what it writes into method and path changes nothing by which a meter decides.

For every format, its own lines are written once more as a client could have sent them, and read again.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from ingest.__main__ import _record
from ingest.decode import formats
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Parser
from tests.ingest.cloud_lines import CASES
from tests.ingest.fixtures import kong, line
from tests.ingest.gateway_lines import GOOD
from tests.ingest.test_template_cache import OWN

KONG_COMBINED = '203.0.113.9 - acme [01/Oct/2026:00:00:00 +0000] "GET /v1/orders HTTP/1.1" 200 900 "-" "-"'
LINES = {
    **{name: [row.line for row in rows] for name, rows in GOOD.items()},
    **{name: [case.text for case in rows[0]] for name, rows in CASES.items()},
    "aws_apigw": [OWN["aws_apigw"].decode()],
    "kong": [line(kong(route__name="orders")).decode(), KONG_COMBINED],
}
WITHOUT_METHOD = {"cloudtrail"}  # it logs operations, no paths
WITHOUT_ROUTE = {"apache", "aws_alb", "caddy", "cloudflare", "cloudfront", "nginx"}
METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"}
# How a path is written that a server may take for the same one.
DISGUISES: dict[str, Callable[[str], str]] = {
    "a query": lambda path: path + "?x=1",
    "a slash": lambda path: path + "/",
    "case": str.upper,
    "percent": lambda path: path[:-1] + f"%{ord(path[-1]):02x}",
    "twice": lambda path: "/" + path,
}
# Their `route` is what Tyk made of the path, or what the producer says; filters compare paths: tests/billing/test_filters.py.
ROUTE_IS_PATH = {"tyk", "cloudevents"}
parser = cache(Parser)


def read(format_name: str, text: str) -> list[dict[str, Any]]:
    return [_record(row) for row in parser(format_name).parse(split_lines(f"{text}\n".encode(), 0)).to_pylist()]


@pytest.mark.sampled(keep=7)
@pytest.mark.parametrize("format_name", sorted(set(formats.names()) - WITHOUT_METHOD))
@pytest.mark.parametrize("written", [str.lower, str.title], ids=["lower", "title"])
def test_a_method_in_another_case_is_the_same_line(format_name: str, written: Callable[[str], str]) -> None:
    """Also its path stays known: a request line that is not understood would have neither."""
    tried = 0
    for text in LINES[format_name]:
        plain = read(format_name, text)
        for method in {row.get("method") for row in plain} & METHODS:
            disguised = read(format_name, re.sub(rf"(?<![._A-Za-z]){method}\b", written(method), text))
            assert written(method) in {row.get("method") for row in disguised}, text
            assert [capitals(row) for row in disguised] == plain, text
            tried += 1
    assert tried, f"no line of {format_name} here has a method"


@pytest.mark.sampled(keep=10)
@pytest.mark.parametrize("format_name", sorted(set(formats.names()) - WITHOUT_METHOD - WITHOUT_ROUTE - ROUTE_IS_PATH))
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_route_is_the_gateways_and_no_path_changes_it(format_name: str, disguise: str) -> None:
    """What a filter on routes rests on: a name that the client does not write."""
    tried = 0
    for text in LINES[format_name]:
        for plain in read(format_name, text)[:1]:
            path, route = plain.get("path") or "", plain.get("route")
            if route and len(path) > 1 and path not in route:
                row, *_ = read(format_name, text.replace(path, DISGUISES[disguise](path)))
                assert row["route"] == route, text
                tried += 1
    assert tried, f"no line of {format_name} here has a path and a route"


@pytest.mark.parametrize("format_name", sorted(WITHOUT_ROUTE))
def test_a_format_without_routes_has_none(format_name: str) -> None:
    """A path is no route by itself: a filter would rest on what the client writes, and nobody would know."""
    assert {row.get("route") for text in LINES[format_name] for row in read(format_name, text)} == {None}


def capitals(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "method": row["method"].upper()} if row.get("method") else row
