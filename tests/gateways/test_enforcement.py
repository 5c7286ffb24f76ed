"""Each gateway itself, with the configuration in deploy/gateways, does what a decision says."""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.docs.pages import block
from tests.gateways.decisions import Decisions, Denied
from tests.gateways.enforcing import CLOSED, GATEWAYS, Enforcing, enforcing, shipped
from tests.gateways.finding import ROOT

VERA, OTTO = "s3cret-of-vera", "s3cret-of-otto"
_PATIENCE_S = 20.0  # NGINX keeps an answer for up to two seconds
_PAUSE_S = 0.05  # between requests: asking without a pause took a core for as long as the gateway kept its answer


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Running(NamedTuple):
    site: Enforcing
    gateway: str
    away: str


def ask(
    port: int,
    key: str | None = VERA,
    target: str = "/v1/orders",
    method: str = "GET",
    body: bytes = b"",
    **headers: str,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            fields["X-Api-Key"] = key
        connection.request(method, target, body or None, {"Host": "api.example", **fields})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def until(port: int, status: int, key: str = VERA) -> Answer:
    """The first answer with this status: a gateway may keep a decision for a second."""
    seen = set()
    end = time.monotonic() + _PATIENCE_S
    pause = threading.Event()
    while time.monotonic() < end:
        answer = ask(port, key)
        if answer.status == status:
            return answer
        seen.add(answer.status)
        ask(port, OTTO)
        pause.wait(_PAUSE_S)
    raise AssertionError(f"no answer with {status}: {seen}")


_KINDS = [
    pytest.param((name, away), id=f"{name} {away}", marks=[pytest.mark.slow] if name == "nginx" else [])
    for name in GATEWAYS
    for away in ("open", "closed")
]  # that NGINX of Debian does the same is seen without the newest


@pytest.fixture(scope="module", params=_KINDS)
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    name, away = request.param
    with enforcing(name, tmp_path_factory.mktemp("enforcing"), away=away) as site:
        yield Running(site, name, away)


@pytest.fixture
def decisions(gateway: Running) -> Iterator[Decisions]:
    server = Decisions(gateway.site.decide_port)
    try:
        until(gateway.site.port, 200)  # what the test before has left in a cache is gone
        until(gateway.site.port, 200, OTTO)
        yield server
    finally:
        server.close()


@pytest.mark.parametrize(("reason", "status"), [("QUOTA", 429), ("BUDGET", 429), ("SUSPENDED", 403)])
def test_a_denied_key_is_answered_by_the_gateway(
    gateway: Running, decisions: Decisions, reason: str, status: int
) -> None:
    retry = None if reason == "SUSPENDED" else 1234
    decisions.table["api_key:k9x2"] = Denied(reason, retry)
    answer = until(gateway.site.port, status)
    reached = len(gateway.site.upstream.asked)
    again = ask(gateway.site.port)
    for denied in (answer, again):
        assert denied.status == status
        assert denied.headers.get("retry-after") == (str(retry) if retry else None)
        assert denied.headers["x-tollbook-reason"] == reason
    assert len(gateway.site.upstream.asked) == reached  # none of them came to the API
    assert ask(gateway.site.port, OTTO).status == 200


def test_a_key_is_allowed_again_when_the_decision_changes(gateway: Running, decisions: Decisions) -> None:
    decisions.table["api_key:k9x2"] = Denied("QUOTA")
    until(gateway.site.port, 429)
    del decisions.table["api_key:k9x2"]
    assert until(gateway.site.port, 200).body == b"twelve bytes"


def test_a_client_cannot_name_another_credential(gateway: Running, decisions: Decisions) -> None:
    decisions.table["api_key:k9x2"] = Denied("QUOTA")
    until(gateway.site.port, 429)
    port = gateway.site.port
    assert ask(port, X_Tollbook_Credential="api_key:k7p4").status == 429
    assert ask(port, target="/v1/orders?credential=api_key:k7p4&deny=200&allow=200").status == 429
    assert ask(port, method="POST", body=b"y" * 5000).status == 429
    assert set(decisions.asked) <= {"api_key:k9x2", "api_key:k7p4"}


def test_an_allowed_request_reaches_the_api_as_it_was_sent(gateway: Running, decisions: Decisions) -> None:
    target = "/v1/orders/a%20b?page=2&credential=x"
    assert ask(gateway.site.port, target=target, method="POST", body=b"y" * 70_000).status == 200
    assert gateway.site.upstream.asked[-1] == ("POST", target, 70_000)


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504])
def test_an_answer_of_the_api_is_no_decision(gateway: Running, decisions: Decisions, status: int) -> None:
    before = len(gateway.site.upstream.asked)
    answer = ask(gateway.site.port, target=f"/v1/status/{status}", method="POST", body=b"once")
    assert (answer.status, answer.body) == (status, b"twelve bytes")
    assert len(gateway.site.upstream.asked) == before + 1  # asked once


def test_without_decisions_it_fails_as_configured_and_recovers(gateway: Running) -> None:
    port = gateway.site.port
    server = Decisions(gateway.site.decide_port)
    server.table["api_key:k9x2"] = Denied("QUOTA")
    until(port, 429)
    server.close()
    expected = 200 if gateway.away == "open" else CLOSED[gateway.gateway]
    until(port, expected)
    until(port, expected, OTTO)
    assert ask(port, method="POST", body=b"y" * 5000).status == expected
    server = Decisions(gateway.site.decide_port)
    try:
        server.table["api_key:k9x2"] = Denied("QUOTA")
        until(port, 429)
        until(port, 200, OTTO)
    finally:
        server.close()


def test_a_request_without_a_known_key_asks_for_no_decision(gateway: Running, decisions: Decisions) -> None:
    asked = len(decisions.asked)
    for key in (None, "unknown"):
        assert ask(gateway.site.port, key).status in {401, 404}
    assert "api_key:" not in decisions.asked[asked:]


@pytest.mark.parametrize(
    "name", ["nginx.conf", "envoy.yaml", "traefik-routes.yaml", "Caddyfile", "haproxy.cfg", "apache.conf"]
)
def test_a_configuration_ships_open_and_says_how_to_close_it(name: str) -> None:
    """A gateway whose operator chose nothing does not stop all traffic with the decision server."""
    text = (ROOT / "deploy" / "gateways" / name).read_text()
    assert text.count("# fail open") == text.count("# fail closed") == 1
    assert shipped(name, away="open") != shipped(name, away="closed")


def test_nginx_writes_the_recommended_log() -> None:
    config = (ROOT / "deploy" / "gateways" / "nginx.conf").read_text()
    recommended = block("docs/gateways.md", "nginx.conf").partition("\n\n")[2]
    assert (
        recommended.split()
        == re.findall(r"log_format tollbook.*?tollbook\.log tollbook;", config, re.DOTALL)[0].split()
    )
