"""The broker of the tests: what a fault test may do to it, and that it leaves nothing behind."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.conftest import MakeTopic, topic_maker
from tests.kafka.broker import Broker
from tests.kafka.finding import missing
from tests.long import long_only

ROOT = Path(__file__).parent.parent.parent
QUIET = {"log_level": 0}
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and waits on process handles")


def write(bootstrap: str, topic: str, values: list[str]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", **QUIET})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(bootstrap: str, topic: str, count: int) -> list[str]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False, **QUIET})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [m.value().decode() for m in consumer.consume(count, timeout=30)]
    consumer.close()
    return found


def test_topics_are_the_tests_own_and_gone_afterwards(kafka: str, make_topic: MakeTopic, kafka_prefix: str) -> None:
    """Tests share a broker: what one writes, no other may read."""
    topic = make_topic("events", partitions=3, config={"retention.ms": "60000"})
    assert topic == f"{kafka_prefix}events"
    known = AdminClient({"bootstrap.servers": kafka, **QUIET}).list_topics(timeout=10).topics
    assert len(known[topic].partitions) == 3
    write(kafka, topic, ["a"])


@pytest.mark.slow
def test_a_broker_killed_and_started_again_has_its_address_and_its_records(own_broker: Broker) -> None:
    """What a fault test rests on: the crash loses nothing that was acknowledged."""
    topic = topic_maker(own_broker.bootstrap)("kept")
    if sys.platform == "linux":
        assert ".jsa" in Path(f"/proc/{own_broker.pid}/maps").read_text(), "it maps its classes instead of loading them"
        assert set(listening(own_broker.pid)) == {"127.0.0.1"}  # no port is open to the network, not even for a second
    write(own_broker.bootstrap, topic, ["a", "b"])
    Producer({"bootstrap.servers": own_broker.bootstrap, **QUIET}).list_topics("never-made", timeout=10)
    before, first = own_broker.bootstrap, own_broker.pid
    own_broker.kill()
    assert not own_broker.running
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": before, **QUIET}).list_topics(timeout=0.5)
    # By a thread that ends at once: Linux would kill what a thread started with it, and the broker must stay.
    thread = threading.Thread(target=own_broker.start)
    thread.start()
    thread.join()
    assert (own_broker.bootstrap, own_broker.pid == first) == (before, False)
    write(before, topic, ["c"])
    assert read(before, topic, 3) == ["a", "b", "c"]

    own_broker.pause()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": before, **QUIET}).list_topics(timeout=0.5)
    own_broker.resume()
    assert read(before, topic, 3) == ["a", "b", "c"]

    # A broker that made a missing topic at the first call would hide what the product must name.
    names = AdminClient({"bootstrap.servers": before, **QUIET}).list_topics(timeout=10).topics
    assert {name for name in names if not name.startswith("__")} == {topic}
    own_broker.stop()
    assert not own_broker.running


@pytest.fixture
def victim() -> Iterator[tuple[subprocess.Popen[str], int, int, Path]]:
    """A test run that has started a broker and waits: its process, the broker's, the watching one's, the broker's
    folder.
    """
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/kafka/probe.py", "-k", "is_killed"],
        env={**os.environ, "PROBE_WAITS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.stdout is not None
    lines = []
    for line in run.stdout:
        lines.append(line)
        if line.startswith("broker="):
            break
    else:
        missing([f"a test run could not start a broker: {''.join(lines)[-500:]}"])
    broker, leash, folder = lines[-1].strip().removeprefix("broker=").split(" ", 2)
    yield run, int(broker), int(leash), Path(folder)
    run.kill()
    run.communicate()


@pytest.mark.sampled(keep=1)
@linux
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=long_only)])
def test_a_test_run_that_dies_takes_its_broker_along(
    victim: tuple[subprocess.Popen[str], int, int, Path], how: signal.Signals
) -> None:
    """kill -9 runs no clean-up of pytest's; still no server and no folder may stay behind."""
    run, broker, leash, folder = victim
    handles = [os.pidfd_open(broker), os.pidfd_open(leash)]
    assert (folder / "server.properties").exists()
    run.send_signal(how)
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], 30)
        os.close(handle)
        assert ended, "still there after 30 s"
    run.wait(30)
    assert not folder.exists()


def listening(pid: int) -> Iterator[str]:
    """Addresses on which a process accepts TCP connections, as Linux knows them."""
    inodes: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
            inodes |= {match[1]} if match else set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            state, inode = fields[3], fields[9]
            if state == "0A" and inode in inodes:
                yield spelled(fields[1].partition(":")[0])


def spelled(address: str) -> str:
    """`0100007F`, or the same mapped into IPv6, as dotted numbers; another IPv6 address as it stands."""
    if len(address) == 32 and address.startswith("0000000000000000FFFF0000"):
        address = address[24:]
    if len(address) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
    return address
