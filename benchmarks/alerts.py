"""From an event in Kafka to its alert on the topic: `python -m benchmarks.alerts`. Writes docs/results/alerts.md.

All three workers, one of each, with their defaults, on one broker. First a backlog is worked off: that is full load.
Then the workers land some lines, and after that lines come at half of that rate, or at `--rate`. Each alert's time is
taken from the broker's append time of the line that reached the threshold to the moment a consumer holds the alert. Its
first part ends with the append time of the total that reached the threshold. Lines are Kong's; the partners share one
plan whose quota has evenly spread thresholds. The page is written anew; what is known besides is in NOTES.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.kafka import RESULT, create_topics
from benchmarks.machine import heading
from schemas.kafka import topics
from schemas.kafka.totals import decoded
from tests.kafka.broker import Broker
from tests.kafka.processes import Process

PAGE = RESULT.with_name("alerts.md")
NOTES = Path(__file__).with_name("alerts_notes.md")
LINES_PER_RECORD = 100
PREFIX = "alerts-"
HEADERS = [("format", b"kong"), ("source", b"edge")]
PATIENCE_S = 60
WARM_LINES = 10_000


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=3_000_000, help="lines that measure full load")
    parser.add_argument("--seconds", type=int, default=60, help="how long to go on at half load")
    parser.add_argument("--rate", type=int, help="lines a second, in place of half of full load")
    parser.add_argument("--partners", type=int, default=200)
    parser.add_argument("--thresholds", type=int, default=20, help="per partner; they divide 100")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tollbook-alerts-") as folder, Broker() as broker:
        run = _Run(broker.bootstrap, Path(folder), args.seed, args.partners, args.thresholds)
        full = run.full_load(args.backlog)
        rate = args.rate or full / 2
        timed = run.half_load(rate, args.seconds)
    rows = ["| from … to | p50 | p90 | p99 | most |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, waits_ms in (
        ("event to alert", timed.all_ms),
        ("event to total", timed.first_ms),
        ("total to alert", timed.then_ms),
    ):
        rows.append(
            f"| {name} | " + " | ".join(f"{np.percentile(waits_ms, q):,.0f} ms" for q in (50, 90, 99, 100)) + " |"
        )
    busy = ", ".join(f"{name} {seconds:.1f}" for name, seconds in timed.cpu_s.items())
    text = [
        heading("From an event in Kafka to its alert", "python -m benchmarks.alerts " + " ".join(sys.argv[1:])),
        "",
        (
            f"Full load, a backlog of {args.backlog:,} lines worked off by one worker of each kind: {full:,.0f} lines/s. "
            f"Then {rate:,.0f} lines/s for {args.seconds} s, in records of {LINES_PER_RECORD} lines, seed {args.seed}; {args.partners:,} partners, "
            f"{args.thresholds} thresholds each: {len(timed.all_ms):,} alerts. Broker, workers, sender and receiver share the machine. "
            f"CPU seconds of the workers: {busy}. The sender was at most {timed.late_s * 1000:,.0f} ms behind its plan."
        ),
        "",
        *rows,
        "",
        NOTES.read_text().rstrip(),
    ]
    PAGE.write_text("\n".join(text) + "\n")
    print("\n".join(text))


class _Timed(NamedTuple):
    """Waits of alerts in milliseconds: as a whole, until the total, and from there. CPU seconds by worker."""

    all_ms: list[float]
    first_ms: list[float]
    then_ms: list[float]
    late_s: float  # the sender, at worst
    cpu_s: dict[str, float]


class _Run:
    def __init__(self, bootstrap: str, folder: Path, seed: int, partners: int, thresholds: int) -> None:
        self._bootstrap, self._folder = bootstrap, folder
        self._rng = random.Random(seed)
        self._partners = partners
        self._thresholds = range(100 // thresholds, 101, 100 // thresholds)
        self._started_ms = int(time.time() * 1000)
        self._sent = 0
        create_topics(bootstrap, PREFIX)
        self._producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 2})

    def full_load(self, lines: int) -> float:
        """Lines a second of all workers together, by a backlog; its partners have a quota that they do not reach."""
        for value, _ in self._records(lines, "other"):
            self._produce(value)
        self._producer.flush()
        with _Workers(self._bootstrap, self._folder, _catalog(1, self._partners, self._thresholds)) as workers:
            workers.until_landed(LINES_PER_RECORD)  # the first commit: after that they are at work
            began, done = time.monotonic(), workers.landed()
            workers.until_landed(lines)
            return (lines - done) / (time.monotonic() - began)

    def half_load(self, lines_per_s: float, seconds: int) -> _Timed:
        """Send at a constant rate, and time each alert."""
        records = list(self._records(int(lines_per_s * seconds), "partner"))
        each = sum(len(partners) for _, partners in records) // self._partners
        due: dict[tuple[str, int], int] = {}  # partner and percent → the record that reaches it
        counts: Counter[int] = Counter()
        limit = each * 9 // 10  # of all partners, though some get fewer lines than others
        steps = {-(-limit * percent // 100): percent for percent in self._thresholds}
        for number, (_, partners) in enumerate(records):
            for partner in partners:
                counts[partner] += 1
                if (percent := steps.get(counts[partner])) is not None:
                    due[f"partner-{partner}", percent] = number
        appended: dict[int, int] = {}
        late = 0.0
        with (
            _Workers(self._bootstrap, self._folder, _catalog(limit, self._partners, self._thresholds)) as workers,
            _Alerts(self._bootstrap) as alerts,
        ):
            for value, _ in self._records(WARM_LINES, "other"):  # the workers read what the lake holds of the day
                self._produce(value)
            self._producer.flush()
            workers.until_landed(WARM_LINES)
            before = workers.cpu_s()
            began = time.monotonic()
            for number, (value, _) in enumerate(records):
                planned = began + number * LINES_PER_RECORD / lines_per_s
                while (early := planned - time.monotonic()) > 0:
                    self._producer.poll(0)
                    alerts.take(min(early, 0.01))
                late = max(late, -early)
                self._produce(value, appended, number)
            self._producer.flush()
            deadline = time.monotonic() + PATIENCE_S
            while len(alerts.seen_ms) < len(due) and time.monotonic() < deadline:
                alerts.take(0.1)
            workers.alive()
            cpu_s = {name: seconds - before[name] for name, seconds in workers.cpu_s().items()}
        if alerts.seen_ms.keys() != due.keys():
            raise RuntimeError(f"{len(due)} alerts were due, {len(alerts.seen_ms)} came")
        reached = self._totals_that_reached(steps)
        return _Timed(
            [alerts.seen_ms[key] - appended[number] for key, number in due.items()],
            [reached[key] - appended[number] for key, number in due.items()],
            [alerts.seen_ms[key] - reached[key] for key in due],
            late,
            cpu_s,
        )

    def _totals_that_reached(self, steps: dict[int, int]) -> dict[tuple[str, int], float]:
        """When the total was appended by which each partner reached each percent. `steps`: usage → percent."""
        name = PREFIX + topics.USAGE_TOTALS
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "bench", "enable.auto.commit": False})
        partitions = consumer.list_topics(name).topics[name].partitions
        count = sum(consumer.get_watermark_offsets(TopicPartition(name, p))[1] for p in partitions)
        consumer.assign([TopicPartition(name, p, 0) for p in partitions])
        found = consumer.consume(count, PATIENCE_S)
        consumer.close()
        used: dict[str, dict[int, int]] = {}
        reached: dict[tuple[str, int], float] = {}
        for message in sorted(found, key=lambda message: message.timestamp()[1]):
            totals = decoded(message.value())
            partner = totals[0].partner_id
            mine = used.setdefault(partner, {})
            mine.update((total.events_partition, int(total.used)) for total in totals)
            for usage, percent in steps.items():
                if sum(mine.values()) >= usage:
                    reached.setdefault((partner, percent), message.timestamp()[1])
        return reached

    def _records(self, lines: int, name: str) -> Iterator[tuple[bytes, list[int]]]:
        for _ in range(lines // LINES_PER_RECORD):
            partners = [self._rng.randrange(self._partners) for _ in range(LINES_PER_RECORD)]
            yield b"".join(self._line(f"{name}-{partner}") for partner in partners), partners

    def _line(self, consumer: str) -> bytes:
        self._sent += 1
        return json.dumps(
            {
                "request": {
                    "id": f"{self._sent:032x}", "method": "GET", "uri": "/v1/orders?page=2", "size": 412,
                    "headers": {"host": "api.example", "user-agent": "client/4.2"},
                },
                "response": {"status": 200, "size": 1834, "headers": {"content-type": "application/json"}},
                "latencies": {"request": 23, "proxy": 20, "kong": 3},
                "started_at": self._started_ms,
                "client_ip": "203.0.113.9",
                "route": {"name": "orders"},
                "service": {"name": "orders"},
                "consumer": {"id": consumer},
            }
        ).encode() + b"\n"  # fmt: skip

    def _produce(self, value: bytes, appended: dict[int, int] | None = None, number: int = 0) -> None:
        def delivered(error: object, message: Message) -> None:
            if error is not None:
                raise RuntimeError(str(error))
            if appended is not None:
                appended[number] = message.timestamp()[1]

        while True:
            try:
                self._producer.produce(PREFIX + topics.GATEWAY_ACCESS, value, headers=HEADERS, on_delivery=delivered)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return


class _Alerts:
    """The topic of alerts, from its end on; when each came, by this machine's clock."""

    def __init__(self, bootstrap: str) -> None:
        self.seen_ms: dict[tuple[str, int], float] = {}
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 5}
        )
        topic = PREFIX + topics.USAGE_ALERTS
        partitions = self._consumer.list_topics(topic).topics[topic].partitions
        ends = {p: self._consumer.get_watermark_offsets(TopicPartition(topic, p))[1] for p in partitions}
        self._consumer.assign([TopicPartition(topic, p, end) for p, end in ends.items()])

    def __enter__(self) -> "_Alerts":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def take(self, timeout_s: float) -> None:
        for message in self._consumer.consume(1000, timeout_s):
            if message.error() is None:
                event = json.loads(message.value())
                if event["type"] != "tollbook.quota.threshold":
                    continue
                data = event["data"]
                self.seen_ms.setdefault((data["partner"], int(data["threshold_percent"])), time.time() * 1000)


class _Workers:
    """ingest, land and quota, until the end of the block."""

    def __init__(self, bootstrap: str, folder: Path, catalog: str) -> None:
        path = folder / "catalog"
        path.mkdir(exist_ok=True)
        (path / "catalog.yaml").write_text(catalog)
        where = ["--bootstrap-servers", bootstrap, "--prefix", PREFIX]
        lake = ["--catalog", path, "--lake", folder / "lake"]
        self._land = Process(["land", *where, *lake])
        self._all = [self._land, Process(["ingest", *where, "--catalog", path]), Process(["quota", *where, *lake])]

    def __enter__(self) -> "_Workers":
        for worker in self._all:
            worker.until_logged("assigned" if worker is self._land else "started")
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.stop()

    def landed(self) -> int:
        return sum(line["counted"] for line in self._land.log_lines if line["message"] == "landed")

    def until_landed(self, lines: int) -> None:
        self._land.until(lambda _: self.landed() >= lines, limit_s=600)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of each worker so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        found = {}
        for worker in self._all:
            fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
            found[worker.words[0]] = (int(fields[11]) + int(fields[12])) / ticks
        return found

    def alive(self) -> None:
        for worker in self._all:
            if worker.code is not None:
                raise RuntimeError(worker.tail())


def _catalog(limit: int, count: int, thresholds: Sequence[int]) -> str:
    """Partners with a quota, and as many with one that is never reached: JSON is YAML."""
    quota = {"meter": "requests", "period": "MONTH", "thresholds": list(thresholds)}
    plans = [
        {"id": "metered", "rate_card": "card", "quotas": [quota | {"limit": limit}]},
        {"id": "wide", "rate_card": "card", "quotas": [quota | {"limit": 10**12}]},
    ]
    partners = [
        {
            "id": f"{name}-{number}", "name": f"{name} {number}", "legal_entity": "toll", "time_zone": "UTC",
            "plans": [{"plan": plan, "valid_from": "2020-01-01"}],
            "credentials": [{"kind": "consumer", "id": f"{name}-{number}"}],
        }
        for name, plan in (("partner", "metered"), ("other", "wide"))
        for number in range(count)
    ]  # fmt: skip
    rate = {"meter": "requests", "price": {"model": "per_unit", "unit_price": "0.01"}}
    return json.dumps(
        {
            "legal_entities": [{"id": "toll", "name": "Toll", "invoice_prefix": "T"}],
            "meters": [{"id": "requests", "aggregate": "count", "unit": "requests"}],
            "rate_cards": [{"id": "card", "currency": "EUR", "versions": [{"valid_from": "2020-01-01", "rates": [rate]}]}],
            "plans": plans,
            "partners": partners,
        }
    )  # fmt: skip


if __name__ == "__main__":
    main()
