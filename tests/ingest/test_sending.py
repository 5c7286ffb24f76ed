"""A producer's queue that is full ends no worker: whoever may wait, waits."""

import ast
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.kafka.sending import produce
from tests.test_arrows import ALL, ROOT

pytestmark = pytest.mark.integration


def full(**options: object) -> Producer:
    """A producer without a broker that holds two messages, each for a moment."""
    said = {
        "bootstrap.servers": "127.0.0.1:1",
        "queue.buffering.max.messages": 2,
        "message.timeout.ms": 50,
        "log_level": 0,
    }
    return Producer(said | options)  # type: ignore[arg-type]


def test_a_full_queue_is_waited_for() -> None:
    """Land published its totals into it, and ended by BufferError: a day with many partners, and a broker that is slow for a moment."""
    producer, told = full(), []

    def delivered(error: KafkaError | None, _: Message) -> None:
        told.append(error)

    for n in range(2):
        producer.produce("t", b"%d" % n, on_delivery=delivered)
    with pytest.raises(BufferError):
        producer.produce("t", b"2", on_delivery=delivered)
    for n in range(5):
        produce(producer, "t", b"%d" % n, key="k", partition=0, headers=[("h", b"1")], on_delivery=delivered)
    producer.flush(10)
    assert len(told) == 2 + 5
    assert all(error is not None for error in told)


def test_what_can_never_be_sent_is_not_tried_again() -> None:
    """A message that is too large is the caller's to tell."""
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        produce(full(**{"message.max.bytes": 1_000}), "t", b"x" * 2_000, partition=0, on_delivery=lambda *_: None)


def test_nobody_else_hands_messages_to_a_producer() -> None:
    """Every other call would end its process at the first full queue. The event loop may not wait: it answers 503. The
    feed of alerts waits in its own way, as it may not import ingest.
    """
    found = set()
    for package in ALL:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "produce":
                    found.add(str(Path(file).relative_to(ROOT)))
    assert found == {"ingest/kafka/sending.py", "ingest/http/delivery.py", "aggregate/alerts/feed.py"}
