"""`tollbook serve` as a process before a real broker, and what its tests send: a catalog, a producers file, events."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Consumer, TopicPartition

from ingest.http import api_keys
from schemas.kafka import topics
from tests.e2e.comparison import tollbook
from tests.kafka.processes import WAIT_S, Process
from tests.tollbook.fixtures import METERS, PRICES, SELLER

PARTITIONS = 2
TIME = "2026-10-01T00:00:00Z"
SINGLE, BATCH, LINES = "application/cloudevents+json", "application/cloudevents-batch+json", "application/x-ndjson"
# Times of the tests do not grow old.
PARTNERS = """
partners:
  - {id: acme, name: Acme Inc, legal_entity: seller, time_zone: Etc/UTC, plans: [{plan: small, valid_from: 2026-01-01}], credentials: [{kind: consumer, id: c-acme}]}
  - {id: bolt, name: Bolt Ltd, legal_entity: seller, time_zone: Etc/UTC, plans: [{plan: small, valid_from: 2026-01-01}], credentials: [{kind: consumer, id: c-bolt}]}
sources:
  - {id: edge, max_age_days: 36500, max_future_minutes: 50000000}
  - {id: other, max_age_days: 36500, max_future_minutes: 50000000}
  - {id: slow, max_age_days: 36500, max_future_minutes: 50000000}
  - {id: acme-own, partner: acme, max_age_days: 36500, max_future_minutes: 50000000}
"""
EDGE, OTHER, SLOW, OWN = (api_keys.new_key(lambda n, k=k: bytes([k]) * n) for k in range(1, 5))
PRODUCERS = f"""
producers:
  - id: gate
    source: edge
    formats: [cloudevents, kong, nginx]
    rate: {{events_per_s: 10000000, burst: 100000000}}
    keys:
      - {{prefix: {EDGE.kept.prefix}, sha256: "{EDGE.kept.sha256}"}}
  - id: second
    source: other
    rate: {{events_per_s: 10000000, burst: 100000000}}
    keys:
      - {{prefix: {OTHER.kept.prefix}, sha256: "{OTHER.kept.sha256}"}}
  - id: thrifty
    source: slow
    rate: {{events_per_s: 1, burst: 5}}
    keys:
      - {{prefix: {SLOW.kept.prefix}, sha256: "{SLOW.kept.sha256}"}}
  - id: acme-agent
    source: acme-own
    rate: {{events_per_s: 10000000, burst: 100000000}}
    keys:
      - {{prefix: {OWN.kept.prefix}, sha256: "{OWN.kept.sha256}"}}
"""


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    """A CloudEvent of a request by acme's consumer; None drops a field."""
    headers = {
        "specversion": "1.0", "id": event_id, "source": "api", "type": "request", "subject": "c-acme", "time": TIME,
        "data": {"method": "GET", "path": "/v1/orders", "status_code": 200, "request_bytes": 10, "response_bytes": 20},
    } | changes  # fmt: skip
    return {name: value for name, value in headers.items() if value is not None}


def events(name: str, count: int) -> list[dict[str, Any]]:
    """So many of them."""
    return [event(f"{name}-{i}") for i in range(count)]


def lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Records as NDJSON."""
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


def write_installation(folder: Path, producers: str = PRODUCERS) -> None:
    """A catalog and a producers file."""
    (folder / "catalog").mkdir(parents=True)
    for name, text in {"seller": SELLER, "meters": METERS, "prices": PRICES, "partners": PARTNERS}.items():
        (folder / "catalog" / f"{name}.yaml").write_text(text)
    (folder / "producers.yaml").write_text(producers)


class HttpServer:
    """A running `tollbook serve`, and a client of it."""

    def __init__(self, kafka: str, prefix: str, folder: Path, *words: object, topics_made: bool = False) -> None:
        self.kafka, self.prefix, self.folder = kafka, prefix, folder
        where = ["--bootstrap-servers", kafka, "--prefix", prefix]
        if not topics_made:
            tollbook("topics", "create", *where, "--partitions", PARTITIONS, "--replication", 1)
        self.process = Process(
            ["serve", *where, "--catalog", folder / "catalog", "--producers", folder / "producers.yaml", "--listen", "127.0.0.1:0", *words],
            env={"PYTHONWARNINGS": "default", **os.environ},
        )  # fmt: skip
        self.port: int = self.process.until(lambda line: line["message"] == "listening")["port"]
        self.process.until_logged("started")
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def close(self) -> None:
        self.client.close()
        self.process.kill()

    def post(
        self, body: bytes, kind: str = SINGLE, *, key: str | None = EDGE.text, query: str = "", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:  # fmt: skip
        """POST /api/v1/events."""
        all_headers = {
            "Content-Type": kind,
            **({} if key is None else {"Authorization": f"Bearer {key}"}),
            **(headers or {}),
        }
        return self.client.post(f"/api/v1/events{query}", content=body, headers=all_headers)

    def batch(self, sent: Sequence[Mapping[str, Any]], *, key: str = EDGE.text) -> httpx.Response:
        """POST a JSON array of events."""
        return self.post(json.dumps(sent).encode(), BATCH, key=key)

    def records(self) -> list[tuple[dict[str, str], bytes]]:
        """Headers and values of everything in gateway.access."""
        topic = self.prefix + topics.GATEWAY_ACCESS
        options = {"bootstrap.servers": self.kafka, "group.id": "look", "enable.auto.commit": False, "log_level": 0}
        consumer = Consumer(options)
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(PARTITIONS)}
        consumer.assign([TopicPartition(topic, p, 0) for p in ends])
        found: list[tuple[dict[str, str], bytes]] = []
        deadline = time.monotonic() + WAIT_S
        while len(found) < sum(ends.values()):
            assert time.monotonic() < deadline
            for message in consumer.consume(1000, 0.05):
                assert message.error() is None
                found.append(({k: v.decode() for k, v in message.headers() or []}, message.value() or b""))
        consumer.close()
        return found

    def ids(self) -> list[str]:
        """The ids of all CloudEvents in gateway.access."""
        texts = [value for headers, value in self.records() if headers["format"] == "cloudevents"]
        return [json.loads(line)["id"] for text in texts for line in text.splitlines() if line.strip()]


@contextmanager
def running_server(kafka: str, prefix: str, folder: Path, *words: object) -> Iterator[HttpServer]:
    """A running server with an installation of its own."""
    write_installation(folder)
    opened = HttpServer(kafka, prefix, folder, *words)
    try:
        yield opened
    finally:
        opened.close()
