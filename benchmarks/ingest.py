"""From `gateway.access` to `usage.events`, each format by itself: `python -m benchmarks.ingest [FORMAT …]`.

Writes docs/results/ingest.md. Records of 500 lines; CPU of one `tollbook ingest` at work, clients of Kafka included,
without what it loads and plans once, beside a bare consume() loop over the same records and a bare decode of the same
lines by DuckDB (benchmarks.gateway_formats, benchmarks.cloud_formats); of each the least of several times, since a
machine that is shared is slow now and then. The source belongs to one partner, so that every line is an event, whatever
identity it shows.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import orjson
from confluent_kafka import Producer

from benchmarks import cloud_formats, gateway_formats
from benchmarks.kafka import RESULT, Worker, create_topics, peer
from benchmarks.machine import heading
from ingest.decode.framing import split_lines
from schemas.kafka import topics
from tests.ingest.cloud_lines import CASES
from tests.ingest.gateway_lines import GOOD
from tests.kafka.broker import Broker
from tollbook.demo import sample_logs

PAGE = RESULT.with_name("ingest.md")
LINES = 300_000
WARM_LINES = 100_000
PARTS = 3
LINES_PER_RECORD = 500
PREFIX = "formats-"
SOURCE = "bench"


class Sample(NamedTuple):
    """A log of one format. `shape`: json or text."""

    format: str
    shape: str
    text: bytes


def samples() -> Iterator[Sample]:
    """One of each format and shape."""
    with tempfile.TemporaryDirectory(prefix="tollbook-month-") as folder:
        files = sample_logs.write_month(Path(folder), requests=LINES)
        for name in ("kong", "aws_apigw"):
            text = b"".join(f.path.read_bytes() for f in files if f.format == name)
            whole = [line for line in text.splitlines(keepends=True) if _is_whole(line)]
            yield Sample(name, "json", b"".join((whole * (LINES // len(whole) + 1))[:LINES]))
    for name in GOOD:
        for shape, good in gateway_formats.samples(name).items():
            yield Sample(name, shape, gateway_formats.log(good.line, LINES))
    for name in sorted(set(CASES) - set(GOOD) - {"kong", "aws_apigw"}):
        shape = "text" if name in cloud_formats.PATTERNS else "json"
        yield Sample(name, shape, gateway_formats.log(cloud_formats.sample(name), LINES))


def _is_whole(line: bytes) -> bool:
    """The month has broken lines, which the bare decode ends at."""
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def main(names: Sequence[str]) -> None:
    out = [
        heading("From gateway.access to usage.events, by format", "python -m benchmarks.ingest " + " ".join(names)),
        "",
        f"{LINES:,} lines of each, from 199 networks, {LINES_PER_RECORD} in a record.",
        f"CPU seconds per million lines, of ingest without its first {WARM_LINES:,}; the least of {PARTS} times.",
        "",
        "| format | line | bytes | tollbook ingest | bare consume | bare decode | ingest / both bare |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory(prefix="tollbook-formats-") as folder, Broker() as broker:
        catalog = Path(folder) / "catalog"
        catalog.mkdir()
        (catalog / "catalog.yaml").write_text(_catalog())
        create_topics(broker.bootstrap, PREFIX)
        for sample in samples():
            if names and sample.format not in names:
                continue
            access = f"{PREFIX}{sample.format}-{sample.shape}-"
            create_topics(broker.bootstrap, access)
            ours = _ingest_cpu_s(broker.bootstrap, access, catalog, sample) * LINES
            bare = min(peer("bare", broker.bootstrap, access, LINES).cpu_s for _ in range(PARTS))
            decode = _decode_cpu_s(sample)
            size = len(sample.text) // LINES
            cells = (f"{seconds / LINES * 1e6:.2f}" for seconds in (ours, bare, decode))
            out.append(
                f"| {sample.format} | {sample.shape} | {size} | {' | '.join(cells)} | {ours / (bare + decode):.1f} |"
            )
            print(out[-1], flush=True)
    PAGE.write_text("\n".join(out) + "\n")


def _fill(bootstrap: str, topic: str, sample: Sample, lines: Sequence[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 20})
    headers = [("format", sample.format.encode()), ("source", SOURCE.encode())]
    for number, first in enumerate(range(0, len(lines), LINES_PER_RECORD)):
        value = b"".join(lines[first : first + LINES_PER_RECORD])
        producer.produce(topic, value, headers=headers, partition=number % topics.PARTITIONS)
        producer.poll(0)
    producer.flush()


def _ingest_cpu_s(bootstrap: str, prefix: str, catalog: Path, sample: Sample) -> float:
    """CPU seconds for a line, of those behind the first WARM_LINES, which are read before; they are sent PARTS
    times.
    """
    command = ["-m", "tollbook", "ingest", "--bootstrap-servers", bootstrap, "--prefix", prefix, "--catalog", str(catalog)]  # fmt: skip
    lines = sample.text.splitlines(keepends=True)
    worker = Worker("ingest", [sys.executable, *command])
    took = []
    try:
        for part in (lines[:WARM_LINES], *[lines[WARM_LINES:]] * PARTS):
            with worker.stopped():
                _fill(bootstrap, prefix + topics.GATEWAY_ACCESS, sample, part)
                before, done = worker.cpu_s(), 0
            while done < len(part):
                line = worker.line()
                if line.get("message") == "ingested":
                    assert int(str(line["refused"])) < LINES // 100, f"{prefix}: {line}"
                    done += int(str(line["entries"]))
            took.append((worker.cpu_s() - before) / len(part))
        return min(took[1:])
    finally:
        worker.end()


def _decode_cpu_s(sample: Sample) -> float:
    framed = split_lines(sample.text, 0)
    if sample.format not in GOOD:
        return cloud_formats.bare_seconds(sample.format, framed)
    con = duckdb.connect(config={"threads": 1})
    con.register("lines", framed.lines)
    statement = gateway_formats.bare(sample.format, sample.shape)
    return gateway_formats.cpu_seconds(lambda: gateway_formats.run(con, statement))


def _catalog() -> str:
    rate = {"price": {"model": "flat", "amount": "1"}}
    return json.dumps(
        {
            "legal_entities": [{"id": "toll", "name": "Toll", "invoice_prefix": "T"}],
            "sources": [{"id": SOURCE, "partner": "acme", "max_age_days": 36500, "max_future_minutes": 52560000}],
            "rate_cards": [{"id": "card", "currency": "EUR", "versions": [{"valid_from": "2020-01-01", "rates": [rate]}]}],
            "plans": [{"id": "plan", "rate_card": "card"}],
            "partners": [
                {
                    "id": "acme", "name": "Acme", "legal_entity": "toll", "time_zone": "UTC",
                    "plans": [{"plan": "plan", "valid_from": "2020-01-01"}],
                }
            ],
        }
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
