"""Bad records on a real broker: what it refuses, what it hands out damaged, and partitions that hold no record at
all.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Message, Producer

from schemas.kafka.topics import GATEWAY_ACCESS, USAGE_EVENTS
from tests.kafka.broker import Broker
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import requests, write_catalog
from tests.tollbook.waiting import eventually

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
    errors: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        errors.append(error)

    producer = Producer({**site.config.client_options(), "message.max.bytes": 10_000_000, "log_level": 0})
    producer.produce(site.prefix + GATEWAY_ACCESS, b"x" * 5_000_000, partition=0, on_delivery=delivered)
    assert producer.flush(30) == 0
    [error] = errors
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert sum(site.ends(GATEWAY_ACCESS).values()) == 0


def test_partitions_without_records_harm_nobody(site: Installation) -> None:
    """One holds nothing, one only what transactions leave behind: markers and records that were taken back.

    Offsets advance.
    """
    producer = Producer({**site.config.client_options(), "transactional.id": f"{site.prefix}t", "log_level": 0})
    producer.init_transactions(30)
    for _ in range(3):
        producer.begin_transaction()
        producer.produce(site.prefix + GATEWAY_ACCESS, b"".join(requests(1)), headers=list(GOOD), partition=0)
        producer.flush(30)
        producer.abort_transaction(30)
    # The broker answers an abort before it has written the marker, so the record below could come before the last one.
    eventually(lambda: site.ends(GATEWAY_ACCESS)[GATEWAY_ACCESS, 0] == 6)
    with site.ingest() as worker:
        site.send(GATEWAY_ACCESS, (b"".join(requests(10)), GOOD), partition=0)
        logged = worker.until(lambda line: line.get("message") == "ingested")
        assert (logged["records"], logged["entries"], logged["refused"]) == (1, 10, 0)
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


@pytest.mark.slow
def test_a_damaged_record_ends_the_worker_and_is_not_passed_over(own_broker: Broker, tmp_path: Path) -> None:
    """The checksum is wrong, so the content of the record is unknown.

    No later record may be read as if it did not exist.
    """
    site = Installation(own_broker.bootstrap, "bad-", tmp_path, write_catalog(tmp_path / "catalog", sources=SOURCES))
    try:
        site.send(GATEWAY_ACCESS, (b"".join(requests(10)), GOOD))
        site.send(GATEWAY_ACCESS, (b"damaged on disk\n", GOOD))
        site.send(GATEWAY_ACCESS, (b"".join(requests(10, 1_790_899_200_000)), GOOD))
        assert damaged(own_broker.folder, b"damaged on disk") == 1
        with site.ingest() as worker:
            assert worker.ended() == 75
            assert any("CRC" in str(line) or "checksum" in str(line).lower() for line in worker.log_lines), (
                worker.log_lines
            )
        assert site.committed("tollbook-ingest", GATEWAY_ACCESS, 0) <= 1
    finally:
        site.close()


NAMED_BY_BYTES = """
import asyncio, sys
import aiokafka

class Name(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

async def send(bootstrap, topic):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=False)
    await producer.start()
    try:
        headers = [("format", b"kong"), ("source", b"edge"), (Name("x"), b"1")]
        await producer.send_and_wait(topic, b"x\\n", headers=headers, partition=0)
    finally:
        await producer.stop()

asyncio.run(send(*sys.argv[1:]))
"""


def send_with_a_header_named_by_bytes(site: Installation, topic: str) -> None:
    """The client that Faust uses, in Python alone, writes any name into a record, as clients in other languages do."""
    words = [sys.executable, "-c", NAMED_BY_BYTES, site.config.bootstrap_servers, site.prefix + topic]
    subprocess.run(words, check=True, timeout=60, env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"})


def test_a_header_whose_name_is_no_text_is_one_refusal(site: Installation) -> None:
    """The client library cannot say what the headers are; it raised SystemError, and no worker came past the record."""
    send_with_a_header_named_by_bytes(site, GATEWAY_ACCESS)
    site.send(GATEWAY_ACCESS, (b"".join(requests(10)), GOOD))
    with site.ingest() as worker:
        logged = worker.until(lambda line: line.get("message") == "ingested")
        assert (logged["records"], logged["entries"], logged["refused"]) == (2, 11, 1)
        assert worker.metric("tollbook_ingest_refused_total", reason="BAD_HEADER") == 1
        assert worker.stop() == 0


@pytest.mark.slow
def test_a_message_of_ours_with_such_a_header_halts_its_partition_alone(site: Installation) -> None:
    """Nothing else writes to this topic: land passes nothing over that it cannot read, and goes on with the other
    partition.
    """
    send_with_a_header_named_by_bytes(site, USAGE_EVENTS)
    site.send_events(1, partition=1)
    with site.land() as worker:
        worker.until(lambda line: line.get("reason") == "BAD_MESSAGE")
        worker.until(lambda _: site.landed(1) == 1)
        assert worker.stop() == 0


@pytest.mark.slow
def test_a_source_that_is_all_wrong_is_paused_and_the_others_go_on(site: Installation) -> None:
    """Nothing from its first record on is committed; told to accept it, the next worker takes it up exactly there."""
    bad = [("format", b"kong"), ("source", b"changed")]
    garbage = b"".join(b"%d: no line of a gateway\n" % n for n in range(300))
    site.send(GATEWAY_ACCESS, (b"".join(requests(10)), GOOD))
    site.send(GATEWAY_ACCESS, (garbage, bad))
    site.send(GATEWAY_ACCESS, (b"".join(requests(5, 1_790_899_200_000)), GOOD))
    site.send(GATEWAY_ACCESS, (b"".join(requests(20, 1_790_985_600_000)), GOOD), partition=1)
    with site.ingest() as worker:
        logged = worker.until(lambda line: line.get("reason") == "FORM")
        assert "/0 is not read on from offset 1" in logged["message"]
        assert "--accept-form-errors changed" in logged["message"]
        worker.until(lambda _: worker.metric("tollbook_ingest_entries_total") == 30)
        site.send(GATEWAY_ACCESS, (b"".join(requests(7, 1_791_072_000_000)), GOOD), partition=1)
        worker.until(lambda _: worker.metric("tollbook_ingest_entries_total") == 37)
        assert worker.metric("tollbook_halted_partitions", reason="FORM") == 1
        status, body = worker.get("/healthz")
        assert (status, "FORM" in body) == (503, True)
        assert worker.stop() == 0
    assert site.committed("tollbook-ingest", GATEWAY_ACCESS, 0) == 1
    assert site.committed("tollbook-ingest", GATEWAY_ACCESS, 1) == 2
    with site.ingest("--accept-form-errors", "changed") as worker:
        worker.until(lambda _: worker.metric("tollbook_ingest_entries_total") == 305)
        assert worker.stop() == 0
    assert site.committed("tollbook-ingest", GATEWAY_ACCESS, 0) == 3
