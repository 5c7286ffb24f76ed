"""Not collected by itself: test_finding runs it in a pytest of its own, in another environment."""

import os
import signal
import sys

import pytest
from confluent_kafka.admin import AdminClient

from tests.kafka.broker import Broker


def test_a_test_that_needs_kafka(kafka: str) -> None:
    assert AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).brokers
    print(f"bootstrap={kafka}")


def test_a_test_that_needs_a_broker_to_kill(own_broker: Broker) -> None:
    print(f"bootstrap={own_broker.bootstrap}")


@pytest.mark.skipif("PROBE_WAITS" not in os.environ, reason="waits to be killed")
def test_a_test_that_is_killed(own_broker: Broker) -> None:
    """Tell where the broker is, then wait.

    A run that a shell put into the background hands on that interrupts are ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert own_broker._leash is not None
    print(f"\nbroker={own_broker.pid} {own_broker._leash.pid} {own_broker.folder}", flush=True)
    sys.stdin.read()
