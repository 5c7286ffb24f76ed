"""A claim is no identity: a user name that nobody may have checked names no partner, unless the source says that it was checked."""

import json
from functools import cache
from typing import Any

import pytest

from ingest.attribution.catalog_rules import attribution, source_rules
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder, SourceRules
from schemas.catalog.records import Catalog
from tests.ingest.fixtures import OWNERS

CLF = '203.0.113.9 - c-acme [01/Oct/2026:00:00:00 +0000] "GET /v1/orders HTTP/1.1" {status} 900 "-" "x"'
NGINX_JSON = {
    "msec": "1790812800.123",
    "remote_user": "c-acme",
    "request": "GET /v1/orders HTTP/1.1",
    "bytes_sent": "900",
}
TRAEFIK_JSON = {
    "StartUTC": "2026-10-01T00:00:00Z",
    "ClientUsername": "c-acme",
    "RequestMethod": "GET",
    "DownstreamContentSize": 900,
}
CADDY = {
    "logger": "http.log.access",
    "msg": "handled request",
    "ts": 1790812800.5,
    "user_id": "c-acme",
    "request": {"method": "GET"},
    "size": 1,
}


def as_json(record: dict[str, Any], status: str) -> str:
    return (
        json.dumps({**record, status: "{status}"})
        .replace('"{status}"', "{status}")
        .replace("{", "{{")
        .replace("}", "}}")
        .replace("{{status}}", "{status}")
    )


CLAIMS = {
    ("nginx", "text"): CLF,
    ("nginx", "JSON"): as_json(NGINX_JSON, "status"),
    ("apache", "text"): CLF,
    ("kong", "an access line"): CLF,
    ("traefik", "CLF"): CLF + ' 41 "orders@docker" "http://10.0.0.4:80" 12ms',
    ("traefik", "JSON"): as_json(TRAEFIK_JSON, "DownstreamStatus"),
}
NEVER = {("kong", "its own access line"): CLF + ' kong_request_id: "r1"'}
PROVEN = {("caddy", "JSON"): as_json(CADDY, "status")}
BEFORE = [
    301,
    302,
    307,
    308,
    400,
    401,
    403,
    408,
    413,
    414,
    429,
    431,
    503,
]  # statuses that NGINX also sends before it asks


@cache
def decoder(format_name: str, *, trust_user: bool = False, partner: str | None = None) -> Decoder:
    return Decoder(format_name, SourceRules("edge", trust_user=trust_user, partner=partner), OWNERS)


def became(name: tuple[str, str], status: int, **rules: Any) -> tuple[str | None, str | None]:
    """The partner of a line and its stored credential, or no partner and the reason."""
    line = ({**CLAIMS, **NEVER, **PROVEN})[name].format(status=status)
    events, refused = decoder(name[0], **rules).decode(split_lines(f"{line}\n".encode(), 0), "g")
    counted = zip(events["partner_id"].to_pylist(), events["credential"].to_pylist(), strict=True)
    (found,) = [*counted, *((None, reason) for reason in refused["reason"].to_pylist())]
    return found


@pytest.mark.sampled(keep=15)
@pytest.mark.parametrize("name", sorted(CLAIMS), ids=", ".join)
@pytest.mark.parametrize("status", [200, 204, 404, 499, 502, *BEFORE])
def test_a_claim_names_nobody(name: tuple[str, str], status: int) -> None:
    """A client writes any name into an Authorization header."""
    partner, reason = became(name, status)
    assert (partner, reason in {"UNVERIFIED_USER", "NO_PARTNER"}) == (None, True)
    assert status in BEFORE or reason == "UNVERIFIED_USER"


@pytest.mark.sampled(keep=8)
@pytest.mark.parametrize("name", sorted(CLAIMS), ids=", ".join)
@pytest.mark.parametrize("status", [200, 204, 404, 499, 502])
def test_a_source_may_say_that_its_gateway_checks_every_user(name: tuple[str, str], status: int) -> None:
    assert became(name, status, trust_user=True) == ("acme", "c-acme")


@pytest.mark.sampled(keep=16)
@pytest.mark.parametrize("name", sorted(set(CLAIMS) - {("apache", "text")}), ids=", ".join)
@pytest.mark.parametrize("status", BEFORE)
def test_nobody_is_checked_before_some_answers(name: tuple[str, str], status: int) -> None:
    """NGINX redirects, limits and refuses before it asks for a password."""
    assert became(name, status, trust_user=True) == (None, "NO_PARTNER")


def test_a_user_on_401_is_a_claim_everywhere() -> None:
    found = [became(name, 401, trust_user=True) for name in sorted({**CLAIMS, **NEVER, **PROVEN})]
    assert found == [(None, "NO_PARTNER")] * len(found)


@pytest.mark.parametrize("trust_user", [False, True])
def test_kong_never_checks_the_user_of_its_access_line(trust_user: bool) -> None:
    assert became(("kong", "its own access line"), 200, trust_user=trust_user) == (None, "NO_PARTNER")


@pytest.mark.parametrize("trust_user", [False, True])
def test_a_user_that_the_gateway_has_checked_needs_no_setting(trust_user: bool) -> None:
    assert became(("caddy", "JSON"), 200, trust_user=trust_user) == ("acme", "c-acme")


@pytest.mark.parametrize("name", sorted(CLAIMS), ids=", ".join)
def test_a_claim_does_not_change_the_owner_of_a_source(name: tuple[str, str]) -> None:
    """Its lines are one partner's, whoever is named; a claim is stored nowhere."""
    assert became(name, 200, partner="bolt") == ("bolt", None)


def test_the_catalog_says_it() -> None:
    book = Catalog.model_validate({"sources": [{"id": "edge", "trust_user": True}, {"id": "other", "max_age_days": 3}]})
    assert [source_rules(book, name, None).trust_user for name in ("edge", "other", "unknown")] == [True, False, False]
    trusting = book.trusting("other")
    assert [source_rules(trusting, name, None).trust_user for name in ("edge", "other", "unknown")] == [
        True,
        True,
        False,
    ]
    assert source_rules(trusting, "other", None).max_age_days == 3
    assert attribution(book).credentials.num_rows == 0


def test_the_refusal_says_what_to_do() -> None:
    decoded = decoder("nginx").decode(split_lines(CLF.format(status=200).encode(), 0), "g")
    (letter,) = decoded.refused.to_pylist()
    assert letter["detail"] == "user c-acme, of whom the log does not say that anybody checked it"
    assert (letter["partner_id"], letter["credential"]) == (None, None)
