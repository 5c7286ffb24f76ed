"""Webhooks against real receivers: signed, retried under the same id, never where they must not go, none held back
by another.
"""

import asyncio
import base64
import contextlib
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition
from standardwebhooks import Webhook, WebhookVerificationError

from aggregate.sinks import courier as delivery
from aggregate.sinks import http
from aggregate.sinks.alertmanager import AlertmanagerSink
from aggregate.sinks.courier import Courier
from aggregate.sinks.http import Forbidden, Target, is_public, post, resolved
from aggregate.sinks.notices import Notice, notice
from aggregate.sinks.retries import Backoff
from aggregate.sinks.sink import Answer, Sink, SinkRoute
from aggregate.sinks.webhook import WebhookSink
from schemas.halts import Halt, Halted
from schemas.kafka.topics import USAGE_ALERTS
from tests.aggregate.quota_kafka import Quotas
from tests.aggregate.receivers import DRIP, HANG, Receiver, certificate, receiver
from tests.conftest import MakeTopic
from tollbook.cli.options import the_time
from tollbook.kafka.options import KafkaConfig

KEYS = [base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2)]
NOW = datetime(2026, 10, 2, 3, 4, 5, tzinfo=UTC)
TLS = ssl.create_default_context()
Start = Callable[..., Courier]


def endpoint(to: Receiver, name: str = "ops", partner: str | None = None, **target: Any) -> WebhookSink:
    return WebhookSink(
        target=Target(**{"name": name, "url": to.url, "private": True, **target}),
        keys=tuple(Webhook(k) for k in KEYS),
        route=SinkRoute(partner=partner),
    )


def alert(alert_id: str, partner: str = "acme") -> bytes:
    return json.dumps({"id": alert_id, "subject": partner, "data": {"used": "850", "name": "Zürich"}}).encode()


@pytest.fixture
def alerts(kafka: str, kafka_prefix: str, make_topic: MakeTopic, tmp_path: Path) -> Quotas:
    """A topic of alerts of the test's own, with one partition."""
    make_topic(USAGE_ALERTS)
    return Quotas(KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix), tmp_path)


@pytest.fixture
def deliver(alerts: Quotas) -> Iterator[Start]:
    """`deliver(endpoint)` runs a courier in a thread; all end with the test."""
    with contextlib.ExitStack() as running:
        yield lambda to: running.enter_context(courier(alerts, to))


@contextlib.contextmanager
def courier(
    alerts: Quotas,
    to: Sink,
    on_attempt: Callable[[str, Answer], None] = lambda _, __: None,
    holding: Callable[[], list[Notice]] = list,
) -> Iterator[Courier]:
    stop = threading.Event()
    one = Courier(
        to,
        Consumer({**alerts.kafka.consumer_options(f"webhook-{to.name}", protocol="classic"), "log_level": 0}),
        alerts.name(USAGE_ALERTS),
        log=logging.getLogger("test"),
        clock=lambda: the_time(None),
        stop=stop,
        backoff=Backoff(first_s=0.05, max_s=0.2),
        on_attempt=on_attempt,
        holding=holding,
    )
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        yield one
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def committed(alerts: Quotas, name: str = "ops") -> int:
    reader = Consumer({**alerts.kafka.consumer_options(f"webhook-{name}", protocol="classic"), "log_level": 0})
    with contextlib.closing(reader):
        return reader.committed([TopicPartition(alerts.name(USAGE_ALERTS), 0)], timeout=30)[0].offset


@pytest.mark.integration
def test_until_it_is_delivered_under_the_same_id_and_signed_anew(alerts: Quotas, deliver: Start) -> None:
    """A receiver that fails, redirects or refuses gets the alert again; it can tell that it is the same, and from
    us.
    """
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0), ("acme", alert("a2"), 0)])
    with receiver(200) as other, receiver(500, 302, 307, 200, headers={"location": other.url}) as to:
        deliver(endpoint(to))
        came = [to.next() for _ in range(5)]
        assert other.received.empty(), "a redirect would lead past the check of the address"
    assert [c.headers["webhook-id"] for c in came] == ["a1", "a1", "a1", "a1", "a2"], "in order, one after the other"
    for one in came:
        assert one.body == alert(one.headers["webhook-id"])
        assert one.headers["content-type"] == "application/cloudevents+json"
        assert one.path == "/hook?token=t"
        for key in KEYS:  # both, while the receiver changes from one to the other
            Webhook(key).verify(one.body, one.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(KEYS[0]).verify(one.body + b" ", one.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(KEYS[0]).verify(one.body, {**one.headers, "webhook-id": "a9"})


@pytest.mark.integration
def test_a_receiver_that_does_not_answer_is_tried_again(
    alerts: Quotas, deliver: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a hung connection nor an answer that comes byte by byte must hold the courier up."""
    monkeypatch.setattr(http, "TIMEOUT_S", 0.3)
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0)])
    with receiver(HANG, DRIP, 204) as to:
        deliver(endpoint(to))
        assert [to.next().headers["webhook-id"] for _ in range(3)] == ["a1"] * 3


def test_what_was_delivered_is_not_sent_again_and_what_was_not_is(alerts: Quotas) -> None:
    """Progress is the group's offset: after a restart the courier goes on where it was, and with what it could not
    deliver.
    """
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0), ("acme", alert("a2"), 0)])
    with receiver(200, 500) as to:
        with courier(alerts, endpoint(to)):
            assert [to.next().headers["webhook-id"] for _ in range(3)] == ["a1", "a2", "a2"]
        assert committed(alerts) == 1
        with courier(alerts, endpoint(to)):
            while (again := to.next().headers["webhook-id"]) != "a2":
                assert again != "a1"
    assert committed(alerts) == 1


def test_each_attempt_is_reported_with_its_outcome(alerts: Quotas) -> None:
    """On-call sees from a metric which receiver fails; a count of deliveries alone would hide it."""
    attempts: list[tuple[str, Answer]] = []
    alerts.put(USAGE_ALERTS, [("acme", alert(f"a{n}"), 0) for n in range(3)])
    with (
        receiver(500, 200, 410) as to,
        courier(alerts, endpoint(to), lambda name, answer: attempts.append((name, answer))),
    ):
        for _ in range(3):
            to.next()
    assert attempts == [("ops", Answer.AGAIN), ("ops", Answer.DELIVERED), ("ops", Answer.DISABLED)]


@pytest.mark.integration
def test_an_alertmanager_is_sent_what_comes_and_told_again_what_holds(alerts: Quotas) -> None:
    """Also what it was sent before this process began, as it keeps nothing itself."""
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0)])
    with receiver(200) as to:
        sink = AlertmanagerSink(target=Target(name="am", url=to.url, private=True))
        with courier(alerts, sink, holding=lambda: [notice(alert("a0", "bolt"))]):
            came = [json.loads(to.next().body) for _ in range(2)]
    assert [[each["labels"]["alert_id"] for each in alerts_] for alerts_ in came] == [["a0"], ["a1"]]
    assert committed(alerts, "am") == 1


def test_an_endpoint_that_is_gone_is_left_alone_and_its_alerts_wait(
    alerts: Quotas, caplog: pytest.LogCaptureFixture
) -> None:
    """410 says: no more. It is reported, nothing is lost: after the receiver is back, a restart delivers."""
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0)])
    with receiver(410, 200) as to:
        with courier(alerts, endpoint(to)) as one:
            assert to.next().headers["webhook-id"] == "a1"
            del one
        assert committed(alerts) < 0
        assert any("410" in r.message and r.levelno == logging.ERROR for r in caplog.records)
        with courier(alerts, endpoint(to)):
            assert to.next().headers["webhook-id"] == "a1"


@pytest.mark.integration
def test_a_slow_endpoint_holds_back_no_other_and_a_partner_hears_only_of_itself(alerts: Quotas, deliver: Start) -> None:
    """Each endpoint has its own progress; what is built for one partner holds nothing of another."""
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0), ("bolt", alert("b1", "bolt"), 0), ("acme", alert("a2"), 0)])
    with receiver(HANG) as slow, receiver(200) as ops, receiver(200) as acme:
        deliver(endpoint(slow, name="slow"))
        deliver(endpoint(ops))
        deliver(endpoint(acme, name="acme", partner="acme"))
        assert slow.next().headers["webhook-id"] == "a1"
        assert [ops.next().headers["webhook-id"] for _ in range(3)] == ["a1", "b1", "a2"]
        assert [acme.next().headers["webhook-id"] for _ in range(2)] == ["a1", "a2"]
        slow.let_go.set()


def test_neither_keys_nor_urls_are_logged(alerts: Quotas, deliver: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Logs are read by more people than may sign."""
    caplog.set_level(logging.DEBUG)
    alerts.put(USAGE_ALERTS, [("acme", alert("a1"), 0)])
    with receiver(500, 200) as to:
        deliver(endpoint(to))
        to.next()
        to.next()
    logged = "".join(f"{r.getMessage()} {r.__dict__}" for r in caplog.records if r.name in {"test", "aggregate.sinks"})
    assert "status 500" in logged
    for secret in (*KEYS, "token=t", "v1,"):
        assert secret not in logged


@pytest.mark.parametrize("value", [b"", b"no json", b"[]", b'{"id": "a"}'])
def test_what_is_no_alert_is_not_passed_over(alerts: Quotas, value: bytes) -> None:
    """Only we write this topic: something else in it is for a person to look at."""
    alerts.put(USAGE_ALERTS, [("acme", value, 0)])
    (message,) = alerts.read(USAGE_ALERTS)
    with pytest.raises(Halted) as halted:
        delivery.notice_of(message)
    assert halted.value.reason == Halt.BAD_MESSAGE


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
        ("127.0.0.1", False), ("0.0.0.0", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1", False), ("::ffff:224.0.0.1", False), ("fc00::1", False), ("ff02::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("64:ff9b::7f00:1", False), ("2002:a00:1::", False), ("2001:0:a00:1::", False),
    ],
)  # fmt: skip
def test_addresses(address: str, public: bool) -> None:
    """A webhook must not become a way into our own network, in whatever form an address is written."""
    assert is_public(ip_address(address)) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "::1"])
def test_names_that_lead_inside_are_refused_when_they_are_called(host: str) -> None:
    """What a name means is known only when it is looked up; it may have changed since it was configured."""
    with pytest.raises(Forbidden):
        asyncio.run(resolved(host, 443, private=False))


@pytest.mark.integration
def test_tls_is_checked_against_the_name_though_the_address_is_called(
    tmp_path: Path,
) -> None:
    """The address that was judged is connected to; a certificate for another name is no proof of who answers there."""
    came_in = notice(alert("a1"))
    file, server = certificate(tmp_path, "localhost")
    trusting = ssl.create_default_context(cafile=file)
    with receiver(200, tls=server) as to:
        named = endpoint(to, url=f"https://localhost:{to.port}/in", tls=trusting)
        assert named.send(came_in, NOW).answer is Answer.DELIVERED
        came = to.next()
        assert came.headers["host"] == f"localhost:{to.port}"
        assert came.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
        elsewhere = endpoint(to, url=f"https://127.0.0.1:{to.port}/in", tls=trusting)
        for wrong in (elsewhere, endpoint(to, url=f"https://localhost:{to.port}/in", tls=TLS)):
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                asyncio.run(post(wrong.target, came_in.body, {}))
        assert to.received.empty()
