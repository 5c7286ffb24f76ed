"""A partner passes a limit on NGINX of Debian: its log, `tollbook run --follow`, the lake, `tollbook decide`, NGINX."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateways.enforcing import Enforcing, enforcing
from tests.gateways.test_enforcement import OTTO, VERA, ask
from tests.kafka.processes import Process
from tests.tollbook.fixtures import METERS, SELLER

LIMIT = 1_000
_PATIENCE_S = 120.0
_CATALOG = f"""{SELLER}{METERS}
rate_cards:
  - id: card
    currency: EUR
    versions: [{{valid_from: 2026-01-01, rates: [{{meter: requests, price: {{model: per_unit, unit_price: 1}}}}]}}]
plans:
  - id: hard
    rate_card: card
    quotas: [{{meter: requests, period: MONTH, limit: {LIMIT}, enforce: block}}]
partners:
  - id: vera
    name: Vera
    legal_entity: seller
    time_zone: UTC
    plans: [{{plan: hard, valid_from: 2026-01-01}}]
    credentials: [{{kind: api_key, id: k9x2}}]
  - id: otto
    name: Otto
    legal_entity: seller
    time_zone: UTC
    plans: [{{plan: hard, valid_from: 2026-01-01}}]
    credentials: [{{kind: api_key, id: k7p4}}]
sources:
  - {{id: edge}}
"""


@pytest.fixture(params=["open", "closed"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Enforcing, str]]:
    with enforcing("nginx of Debian", tmp_path, away=request.param) as running:
        yield running, request.param


@pytest.mark.slow
def test_a_partner_is_denied_after_its_limit_and_no_other(site: tuple[Enforcing, str], tmp_path: Path) -> None:
    nginx, away = site
    lake, catalog, log = tmp_path / "lake", tmp_path / "catalog", tmp_path / "tollbook.log"
    catalog.mkdir()
    (catalog / "all.yaml").write_text(_CATALOG)
    assert ask(nginx.port).status == (200 if away == "open" else 503)  # nothing decides yet
    follow = ["run", "--catalog", catalog, "--lake", lake, "--format", "nginx", "--source", "edge"]
    with Process([*follow, "--follow", "--look-s", "0.2", log]):
        _until((lake / "events").exists, "the first commit")
        words = ["decide", "--lake", lake, "--catalog", catalog, "--listen", f"127.0.0.1:{nginx.decide_port}"]
        with Process(words) as decide:
            decide.until_logged("listening")
            allowed, crossed = int(away == "open"), 0.0  # the one before there were decisions counts, too
            answer = ask(nginx.port)
            begun = time.monotonic()
            others = []
            while answer.status != 429:
                assert answer.status in {200, 503}, answer
                assert time.monotonic() - begun < _PATIENCE_S, f"{allowed} requests were allowed"
                allowed += answer.status == 200
                crossed = time.monotonic() if allowed == LIMIT else crossed
                if allowed % 50 == 0:
                    others.append(ask(nginx.port, OTTO).status)
                answer = ask(nginx.port, VERA)
            print(f"denied {time.monotonic() - crossed:.2f} s after the limit, {allowed - LIMIT} requests over it")
            assert allowed >= LIMIT  # none too early
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["x-tollbook-reason"] == "QUOTA"
            assert set(others) <= {200}
            assert ask(nginx.port, OTTO).status == 200
            _until(lambda: _used(nginx.decide_port) >= allowed, "all that was allowed is counted")
        expected = 200 if away == "open" else 503
        _until(lambda: ask(nginx.port).status == expected, f"{expected} without the decision server")


def _used(port: int) -> int:
    """The usage as decisions report it: how far a key is over its limit."""
    answer = ask(port, None, "/v1/decision?credential=api_key:k9x2")
    return int(json.loads(answer.body)["used"])


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"not within {_PATIENCE_S} s: {what}"
