"""Bad records on a real broker: what it refuses, what it hands out damaged, and partitions that hold no record at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Message, Producer

from schemas.topics import GATEWAY_ACCESS
from tests.kafka.broker import Broker
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import requests, write_catalog

# Limits against the broker's clock are not what is tested here.
SOURCES = "sources:\n  - {id: edge, max_age_days: 36500, max_future_minutes: 52560000}\n"
GOOD = [("format", b"kong"), ("source", b"edge")]


@pytest.fixture
def site(kafka: str, kafka_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """Topics of two partitions, and processes that end with the test."""
    made = Installation(kafka, kafka_prefix, tmp_path, write_catalog(tmp_path / "catalog", sources=SOURCES))
    yield made
    made.close()


def test_a_record_beyond_the_brokers_limit_is_the_senders_error(site: Installation) -> None:
    """5 MB in one record: it is refused before it is in the log, and whoever sends it is told so."""
    told: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        told.append(error)

    producer = Producer({**site.config.client_options(), "message.max.bytes": 10_000_000, "log_level": 0})
    producer.produce(site.prefix + GATEWAY_ACCESS, b"x" * 5_000_000, partition=0, on_delivery=delivered)
    assert producer.flush(30) == 0
    [error] = told
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert sum(site.ends(GATEWAY_ACCESS).values()) == 0


def test_partitions_without_records_harm_nobody(site: Installation) -> None:
    """One holds nothing, one only what transactions leave behind: markers and records that were taken back. Offsets advance."""
    producer = Producer({**site.config.client_options(), "transactional.id": f"{site.prefix}t", "log_level": 0})
    producer.init_transactions(30)
    for _ in range(3):
        producer.begin_transaction()
        producer.produce(site.prefix + GATEWAY_ACCESS, b"".join(requests(1)), headers=list(GOOD), partition=0)
        producer.flush(30)
        producer.abort_transaction(30)
    with site.ingest() as worker:
        site.send(GATEWAY_ACCESS, (b"".join(requests(10)), GOOD), partition=0)
        said = worker.until(lambda line: line.get("message") == "ingested")
        assert (said["records"], said["entries"], said["refused"]) == (1, 10, 0)
        assert worker.stop() == 0
    assert site.committed("tollbook-ingest", GATEWAY_ACCESS, 0) == 7  # three records, three markers, one record


def damaged(folder: Path, text: bytes) -> int:
    """Change one byte of `text` wherever it lies in the broker's log; in how many places."""
    changed = 0
    for segment in folder.rglob("*.log"):
        content = segment.read_bytes()
        at = content.find(text)
        while at >= 0:
            with segment.open("r+b") as file:
                file.seek(at)
                file.write(b"\x00")
            changed += 1
            at = content.find(text, at + 1)
    return changed


def test_a_damaged_record_ends_the_worker_and_is_not_passed_over(own_broker: Broker, tmp_path: Path) -> None:
    """A checksum that does not fit: what the record said nobody knows, so nothing behind it may be read as if it were not there."""
    site = Installation(own_broker.bootstrap, "bad-", tmp_path, write_catalog(tmp_path / "catalog", sources=SOURCES))
    try:
        site.send(GATEWAY_ACCESS, (b"".join(requests(10)), GOOD))
        site.send(GATEWAY_ACCESS, (b"damaged on disk\n", GOOD))
        site.send(GATEWAY_ACCESS, (b"".join(requests(10, 1_790_899_200_000)), GOOD))
        assert damaged(own_broker.folder, b"damaged on disk") == 1
        with site.ingest() as worker:
            assert worker.ended() == 75
            assert any("CRC" in str(line) or "checksum" in str(line).lower() for line in worker.said), worker.said
        assert site.committed("tollbook-ingest", GATEWAY_ACCESS, 0) <= 1
    finally:
        site.close()
