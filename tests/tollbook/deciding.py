"""`tollbook decide` as a process before a real lake, and what its tests ask."""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.billing.lakes import land, request
from tests.kafka.processes import Process
from tests.tollbook.fixtures import METERS, SELLER

_HELD = "legal_entity: seller, time_zone: UTC, plans: [{plan: PLAN, valid_from: 2026-01-01}]"
CATALOG = f"""{SELLER}{METERS}
rate_cards:
  - {{id: card, currency: EUR, versions: [{{valid_from: 2026-01-01, rates: [{{meter: requests, price: {{model: per_unit, unit_price: 1}}}}]}}]}}
plans:
  - id: hard
    rate_card: card
    max_lag_s: 2
    when_stale: closed
    quotas: [{{meter: requests, period: MONTH, limit: 10, enforce: block}}]
  - id: soft
    rate_card: card
    max_lag_s: 2
    quotas: [{{meter: requests, period: MONTH, limit: 10, enforce: block}}]
  - id: told
    rate_card: card
    quotas: [{{meter: requests, period: MONTH, limit: 10}}]
partners:
  - {{id: acme, name: A, {_HELD.replace("PLAN", "hard")}, credentials: [{{kind: api_key, id: a-1}}, {{kind: oidc, issuer: "https://i.example", client_id: c}}]}}
  - {{id: bolt, name: B, {_HELD.replace("PLAN", "soft")}, credentials: [{{kind: api_key, id: b-1}}]}}
  - {{id: core, name: C, {_HELD.replace("PLAN", "told")}, credentials: [{{kind: api_key, id: c-1}}]}}
  - {{id: dash, name: D, {_HELD.replace("PLAN", "told")}, status: suspended, credentials: [{{kind: api_key, id: d-1}}]}}
"""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


def use(lake: Path, partner: str, count: int, at: datetime, generation: str) -> None:
    """So many requests of a partner, landed."""
    land(lake, [request(at.isoformat(), partner, name=f"{generation}-{n}") for n in range(count)], generation)


def write_catalog(folder: Path, text: str = CATALOG) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "catalog.yaml").write_text(text)
    return folder


class Server(NamedTuple):
    process: Process
    port: int

    def ask(self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        """The answer to one request on its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, headers=dict(headers or {}))
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def decision(self, credential: str, **query: str) -> Reply:
        """The answer about a credential."""
        return self.ask(
            "/v1/decision?" + "&".join([f"credential={credential}", *(f"{k}={v}" for k, v in query.items())])
        )


@contextmanager
def decide(lake: Path, catalog: Path, *options: str) -> Iterator[Server]:
    """A running server."""
    words = ["decide", "--lake", lake, "--catalog", catalog, "--listen", "127.0.0.1:0", *options]
    with Process(words) as process:
        yield Server(process, process.until_logged("listening")["port"])
