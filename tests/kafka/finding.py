"""A Kafka for the tests, found in this order: KAFKA_BOOTSTRAP_SERVERS, a Docker engine, a JDK with Maven.

An address that was given must answer: it is never passed over. REQUIRE_KAFKA=1 makes a missing Kafka a failure.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from tests.kafka.broker import SETTINGS, Broker, answers, free_ports
from tests.kafka.jars import Unavailable

IMAGE = "apache/kafka:4.3.1"
ANSWER_LIMIT_S = 6
DOCKER_LIMIT_S = 3


@contextmanager
def any_kafka() -> Iterator[str]:
    """Bootstrap servers of a Kafka, ours or given."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        if not answers(given, timeout_s=ANSWER_LIMIT_S):
            pytest.fail(
                f"KAFKA_BOOTSTRAP_SERVERS={given} does not answer; start it or unset the variable", pytrace=False
            )
        yield given
        return
    reasons = []
    for way in (_docker, _local):
        try:
            address, end = way()
        except Unavailable as exc:
            reasons.append(str(exc))
            continue
        try:
            yield address
        finally:
            end()
        return
    missing(["KAFKA_BOOTSTRAP_SERVERS is not set", *reasons])


def missing(reasons: list[str]) -> NoReturn:
    """Skip with the reasons; fail with them where a Kafka is required."""
    text = f"no Kafka: {'; '.join(reasons)}"
    if os.environ.get("REQUIRE_KAFKA", "0") not in {"", "0"}:
        pytest.fail(f"{text} (REQUIRE_KAFKA is set)", pytrace=False)
    pytest.skip(text)


def _local() -> tuple[str, Callable[[], None]]:
    broker = Broker()
    try:
        broker.start()
    except BaseException:
        broker.close()
        raise
    return broker.bootstrap, broker.close


def _docker() -> tuple[str, Callable[[], None]]:
    _ask_docker()
    import requests  # most runs need neither, and both take their time
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer

    (port,) = free_ports(1)
    settings = {
        **SETTINGS,
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    container = DockerContainer(IMAGE)
    container.ports = {"9092/tcp": ("127.0.0.1", port)}
    for key, value in settings.items():
        container.with_env(f"KAFKA_{key.replace('.', '_').upper()}", value)
    try:
        container.start()
    except (DockerException, requests.RequestException) as exc:
        raise Unavailable(f"Docker could not start {IMAGE} ({exc})") from exc
    address = f"127.0.0.1:{port}"
    if not answers(address, timeout_s=90):
        log = b"".join(container.get_logs()).decode(errors="replace")
        container.stop()
        raise Unavailable(f"{IMAGE} does not answer: {log.strip()[-500:]}")
    return address, container.stop


def _ask_docker() -> None:
    """In a process of its own: it can be given up, and what the client leaves open when nobody answers is closed
    with it.
    """
    code = f"from testcontainers.core.docker_client import DockerClient; DockerClient(timeout={DOCKER_LIMIT_S}).client.ping()"
    try:
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=4 * DOCKER_LIMIT_S, check=True
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("the Docker engine does not answer") from None
    except subprocess.CalledProcessError as exc:
        last = exc.stderr.strip().splitlines()[-1]
        raise Unavailable(f"no Docker engine answers ({last[:120]})") from None
