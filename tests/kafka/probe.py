"""Not collected by itself: test_finding runs it in a pytest of its own, in another environment."""

import os
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.kafka.broker import Broker


def test_a_test_that_needs_kafka(kafka: str) -> None:
    assert AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).brokers
    print(f"bootstrap={kafka}")


def test_a_test_that_needs_a_broker_to_kill(own_broker: Broker) -> None:
    print(f"bootstrap={own_broker.bootstrap}")


@pytest.mark.skipif("PROBE_FIFO" not in os.environ, reason="blocks until somebody reads")
def test_a_test_that_is_killed(own_broker: Broker) -> None:
    """Tell where the broker is, then wait to be killed: nobody writes to the second pipe."""
    assert own_broker._leash is not None
    Path(os.environ["PROBE_FIFO"]).write_text(f"{own_broker.pid} {own_broker._leash.pid} {own_broker.folder}")
    Path(os.environ["PROBE_FIFO"]).read_text()
