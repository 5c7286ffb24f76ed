"""Sinks against real receivers on this machine: what each is sent, when it is sent again, and what it never sees."""

import json
import logging
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from aggregate.alerts import ledger
from aggregate.alerts.messages import cloud_event
from aggregate.sinks import http, mail, outbox
from aggregate.sinks.alertmanager import AlertmanagerSink, alert
from aggregate.sinks.chat import PagerDutySink, SlackSink, pagerduty
from aggregate.sinks.file import sinks
from aggregate.sinks.http import Target
from aggregate.sinks.mail import MailSink
from aggregate.sinks.notices import Notice, Severity, notice
from aggregate.sinks.outbox import Outbox, deliver
from aggregate.sinks.retries import Backoff
from aggregate.sinks.sink import Answer, Sink, SinkRoute
from aggregate.sinks.webhook import WebhookSink
from lake.lake import Lake
from schemas.alerts import Alert, Kind, State, Statement, statement_of
from tests.aggregate.receivers import DRIP, HANG, Receiver, certificate, receiver
from tollbook.local_run.sending import Sending

pytestmark = pytest.mark.integration

NOW = datetime(2026, 10, 3, 12, tzinfo=UTC)
AT = datetime(2026, 10, 3, 9, tzinfo=UTC)
LOG = logging.getLogger("test")


def throttle(subject: str = "acme", **changes: Any) -> Alert:
    evidence = {"rate_per_s": "100", "burst": 50, "peak_per_s": 600, "refused": 450}
    return Alert(Kind.THROTTLE, subject, {"start": AT.isoformat()}, AT, evidence, subject)._replace(**changes)


def neighbour() -> Alert:
    evidence = {"requests_percent": "91", "others": ["bolt", "corp"], "p95_ms": 900}
    return Alert(Kind.NEIGHBOUR, "acme", {"window": "5m"}, AT, evidence, "acme")


def fired(one: Alert) -> Statement:
    return statement_of(one, State.FIRED, events_version=1)


def seen(statement: Statement) -> Notice:
    return notice(cloud_event(statement))


def withdrawn(first: Statement) -> Statement:
    return statement_of(first.alert, State.WITHDRAWN, events_version=2, after=first)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    made.create()
    return made


def record(lake: Lake, *new: Statement) -> None:
    ledger.record(lake, ledger.read(lake).table, new, events_version=1)


def webhook(to: Receiver, name: str = "ops", **route: Any) -> WebhookSink:
    return WebhookSink(
        target=Target(name=name, url=to.url, private=True), keys=(Webhook(bytes(24)),), route=SinkRoute(**route)
    )


def box(lake: Lake, sink: Sink) -> Outbox:
    return Outbox(lake, sink, log=LOG, clock=lambda: NOW)


def ids(to: Receiver) -> list[str]:
    return [to.received.get_nowait().headers["webhook-id"] for _ in range(to.received.qsize())]


GO = threading.Event()  # never set


def test_each_statement_is_sent_once_in_order_over_processes(lake: Lake) -> None:
    """A cursor that a process leaves is where the next one begins; a sink that is new gets no old alerts."""
    first, second, third = (fired(throttle(name)) for name in ("acme", "bolt", "corp"))
    record(lake, first)
    with receiver(200) as to:
        box(lake, webhook(to))
        record(lake, second, third)
        assert box(lake, webhook(to)).send_all(GO).answer is Answer.DELIVERED
        assert ids(to) == [second.statement_id, third.statement_id]
        record(lake, withdrawn(first))
        assert box(lake, webhook(to)).send_all(GO).answer is Answer.DELIVERED
        assert box(lake, webhook(to)).send_all(GO).answer is Answer.DELIVERED
        assert ids(to) == [withdrawn(first).statement_id]


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503, 302, 307, HANG, DRIP])
def test_what_a_sink_does_not_take_waits_for_the_next_run(
    lake: Lake, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it answers but 2xx: nothing is skipped, and what it took is not sent again."""
    if status in {HANG, DRIP}:
        monkeypatch.setattr(http, "TIMEOUT_S", 1)
    statements = [fired(throttle(name)) for name in ("acme", "bolt", "corp")]
    with receiver(200) as other, receiver(200, status, 200, headers={"location": other.url}) as to:
        box(lake, webhook(to))
        record(lake, *statements)
        assert box(lake, webhook(to)).send_all(GO).answer is Answer.AGAIN
        assert ids(to) == [s.statement_id for s in statements[:2]]
        assert box(lake, webhook(to)).send_all(GO).answer is Answer.DELIVERED
        assert ids(to) == [s.statement_id for s in statements[1:]]
        assert other.received.empty(), "a redirect would lead past the check of the address"


def test_a_process_that_dies_after_sending_sends_the_same_id_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the answer and the cursor lies a moment; what it costs is one message twice, never one that is lost."""
    statements = [fired(throttle(name)) for name in ("acme", "bolt")]

    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    with receiver(200) as to:
        box(lake, webhook(to))
        record(lake, *statements)
        with monkeypatch.context() as patched:
            patched.setattr(outbox.atomic_file, "replace", die)
            with pytest.raises(Died):
                box(lake, webhook(to)).send_all(GO)
        box(lake, webhook(to)).send_all(GO)
        assert ids(to) == [statements[0].statement_id, *(s.statement_id for s in statements)]


def test_a_sink_that_hangs_delays_no_other_and_the_run_ends(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its thread and its cursor."""
    monkeypatch.setattr(http, "TIMEOUT_S", 1)
    one = fired(throttle())
    with receiver(HANG) as slow, receiver(200) as ops:
        sending = Sending(lake, [webhook(slow, "slow"), webhook(ops)], lambda: NOW)
        record(lake, one)
        (problem,) = sending.once()
        assert problem == "sink slow: TimeoutError; the next run sends the rest"
        assert ids(ops) == [one.statement_id]
        slow.let_go.set()
    with receiver(200) as slow, receiver(200) as ops:
        assert Sending(lake, [webhook(slow, "slow"), webhook(ops)], lambda: NOW).once() == []
        assert (ids(slow), ids(ops)) == ([one.statement_id], [])


def test_a_run_that_follows_sends_at_once_and_again_until_it_is_taken(lake: Lake) -> None:
    """What is recorded while it runs is sent while it runs."""
    one, two = fired(throttle()), fired(throttle("bolt"))
    stop = threading.Event()
    with receiver(503, 503, 200) as to:
        running = box(lake, webhook(to))
        thread = threading.Thread(target=running.run, args=(stop,), kwargs={"backoff": Backoff(0.01, 0.02)})
        thread.start()
        record(lake, one)
        assert [to.next().headers["webhook-id"] for _ in range(3)] == [one.statement_id] * 3
        record(lake, two)
        stop.set()
        thread.join(30)
        assert ids(to) == [two.statement_id]


def test_a_partner_sees_its_own_data_only() -> None:
    """What is shown to a partner is listed; evidence on others is not, nor a figure that nobody has listed."""
    own = throttle(evidence={"refused": 450, "others": ["bolt"], "host": "lake-7"})
    statements = [
        fired(own), fired(throttle("bolt")), fired(neighbour()),
        fired(Alert(Kind.CREDENTIAL, "acme", {}, AT, {"sources": ["edge"]})),
        fired(Alert(Kind.NETWORK, "api_key:1", {}, AT, {"networks": ["192.0.2.0/24"]}, "acme")),
    ]  # fmt: skip
    with receiver(200) as to:
        deliver([webhook(to, partner="acme")], statements, NOW)
        came = to.next()
        assert to.received.empty()
    data = json.loads(came.body)["data"]
    assert (data["subject"], data["evidence"]) == ("acme", {"refused": 450})
    for other in (b"bolt", b"corp", b"lake-7"):
        assert other not in came.body


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({}, ["quota 50", "quota 100", "throttle acme", "throttle bolt", "neighbour"]),
        ({"kinds": frozenset({Kind.NEIGHBOUR})}, ["neighbour"]),
        ({"partners": frozenset({"bolt"})}, ["throttle bolt"]),
        ({"min_severity": Severity.WARNING}, ["quota 100", "throttle acme", "throttle bolt", "neighbour"]),
        ({"min_severity": Severity.CRITICAL}, ["quota 100", "neighbour"]),
        ({"kinds": frozenset({Kind.QUOTA}), "min_severity": Severity.CRITICAL}, ["quota 100"]),
    ],
)
def test_routes(route: dict[str, Any], expected: list[str]) -> None:
    """Who is told about what, by kind, partner and severity."""
    known = {
        "quota 50": quota("50"), "quota 100": quota("100"), "throttle acme": throttle(),
        "throttle bolt": throttle("bolt"), "neighbour": neighbour(),
    }  # fmt: skip
    assert [name for name, one in known.items() if SinkRoute(**route).view(seen(fired(one)))] == expected


def quota(threshold: str) -> Alert:
    key = {
        "meter": "requests", "plan": "small", "quota_period": "MONTH", "period_start": "2026-10-01T00:00:00+00:00",
        "threshold_percent": threshold,
    }  # fmt: skip
    evidence = {
        "unit": "requests", "used": "50", "limit": "100", "limit_since": None, "passed": False,
        "projected_exhaustion_at": None,
    }  # fmt: skip
    return Alert(Kind.QUOTA, "acme", key, AT, evidence, "acme", datetime(2026, 11, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("ends_at", "expected"),
    [
        (None, NOW + timedelta(minutes=5)),  # it goes on: until it is told again
        (NOW + timedelta(days=9), NOW + timedelta(minutes=5)),
        (NOW + timedelta(minutes=2), NOW + timedelta(minutes=2)),
        (NOW - timedelta(hours=1), NOW + timedelta(minutes=5)),  # over, and nobody was told yet
    ],
)
def test_alertmanager_until_when_an_alert_fires(ends_at: datetime | None, expected: datetime) -> None:
    first = fired(throttle(ends_at=ends_at))
    firing = alert(seen(first), NOW, 300)
    resolved = alert(seen(withdrawn(first)), NOW, 300)
    assert datetime.fromisoformat(firing["endsAt"]) == expected
    assert datetime.fromisoformat(resolved["endsAt"]) == NOW
    assert firing["labels"] == resolved["labels"], "or it would be another alert"
    assert all(name.isidentifier() for name in firing["labels"])


def test_alertmanager_is_told_again_what_holds(lake: Lake) -> None:
    """It keeps nothing over a restart, and forgets after five minutes."""
    holds, gone, over = fired(throttle()), fired(throttle("bolt")), fired(throttle("corp", ends_at=AT))
    with receiver(200) as to:
        sink = AlertmanagerSink(target=Target(name="am", url=to.url, private=True))
        record(lake, holds, gone, over)
        record(lake, withdrawn(gone))
        box(lake, sink).send_all(GO)
        (told,) = json.loads(to.next().body)
        assert told["labels"]["alert_id"] == holds.alert_id
        assert to.received.empty()


def test_people_are_not_told_again_when_a_time_becomes_known(lake: Lake) -> None:
    """A program gets both statements; a message, a mail and an incident come with the first."""
    first = fired(throttle(at=None))
    time = statement_of(throttle(), State.TIMED, events_version=2, after=first)
    with receiver(200) as programs, receiver(200) as people:
        slack = SlackSink(target=Target(name="s", url=people.url, private=True))
        incident = PagerDutySink(target=Target(name="p", url=people.url, private=True), key="k")
        boxes = [box(lake, sink) for sink in (webhook(programs), slack, incident)]
        record(lake, first)
        record(lake, time)
        for each in boxes:
            each.send_all(GO)
        assert ids(programs) == [first.statement_id, time.statement_id]
        assert ["text" in json.loads(people.next().body) for _ in range(2)] == [True, False]
        assert people.received.empty()


def test_slack_and_pagerduty(tmp_path: Path) -> None:
    """A resolved incident is the one that was triggered; markup in a name is text."""
    first = fired(throttle("<!channel>"))
    with receiver(200) as to:
        SlackSink(target=Target(name="s", url=to.url, private=True)).send(seen(first), NOW)
        message = json.loads(to.next().body)
        assert "&lt;!channel&gt;" in message["text"]
        assert "*peak_per_s:* 600" in message["blocks"][1]["text"]["text"]
        sink = PagerDutySink(target=Target(name="p", url=to.url, private=True), key="r0uting")
        for one in (first, withdrawn(first)):
            sink.send(seen(one), NOW)
        trigger, resolve = (json.loads(to.next().body) for _ in range(2))
    assert "r0uting" not in repr(sink)
    assert trigger["payload"]["severity"] == "warning"
    assert trigger["dedup_key"] == resolve["dedup_key"] == first.alert_id
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["routing_key"] == resolve["routing_key"] == "r0uting"
    assert "payload" not in pagerduty(seen(withdrawn(first)))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Mailbox:
    """Takes mail, unless `refuses`."""

    def __init__(self, *refuses: str) -> None:
        self.envelopes: list[Any] = []
        self._refuses = list(refuses)

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        del server, session
        if self._refuses:
            return self._refuses.pop(0)
        self.envelopes.append(envelope)
        return "250 OK"


def test_e_mail_reaches_a_real_server_and_a_repeat_has_the_same_id() -> None:
    """People read the text, programs the attachment."""
    box = Mailbox("451 try later", "550 no such user")
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        sink = MailSink(
            name="m", host="127.0.0.1", port=port, sender="tollbook@example.com", to=("ops@example.com",), private=True,
            plain=True,
        )  # fmt: skip
        first = seen(fired(throttle("Zürich\nBcc: x@example.com")))
        assert [sink.send(first, NOW) for _ in range(2)] == [
            (Answer.AGAIN, "SMTPDataError 451"), (Answer.AGAIN, "SMTPDataError 550"),
        ]  # fmt: skip
        assert sink.send(first, NOW).answer is Answer.DELIVERED
    finally:
        server.stop()
    (envelope,) = box.envelopes
    assert envelope.rcpt_tos == ["ops@example.com"]
    assert f"Message-ID: <{first.statement_id}@tollbook>".encode() in envelope.content
    head = envelope.content.partition(b"\r\n\r\n")[0]
    assert b"\nBcc:" not in head, "a name adds no recipient"
    assert sink.send(first, NOW).answer is Answer.AGAIN, "the server is gone"


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "TLS from the beginning"])
def test_e_mail_checks_the_certificate_against_the_name(
    tmp_path: Path, implicit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was judged is connected to; a certificate for another name is no proof of who answers there."""
    file, server_tls = certificate(tmp_path, "localhost")
    port = free_port()
    if implicit:
        monkeypatch.setattr(mail, "TLS_PORT", port)
    box = Mailbox()
    server = Controller(
        box, hostname="127.0.0.1", port=port, **{"ssl_context" if implicit else "tls_context": server_tls}
    )
    if implicit:
        # By itself it would connect with the context of the server.
        server._trigger_server = lambda: socket.create_connection(("127.0.0.1", port)).close()  # type: ignore[method-assign]
    server.start()
    try:
        for host, tls, expected in (
            ("localhost", ssl.create_default_context(cafile=file), Answer.DELIVERED),
            ("127.0.0.1", ssl.create_default_context(cafile=file), Answer.AGAIN),
            ("localhost", None, Answer.AGAIN),
        ):
            sink = MailSink(
                name="m", host=host, port=port, sender="t@example.com", to=("o@example.com",), private=True, tls=tls
            )
            assert sink.send(seen(fired(throttle())), NOW).answer is expected
    finally:
        server.stop()
    assert len(box.envelopes) == 1


def test_no_sink_reaches_where_it_must_not() -> None:
    """Names that lead inside are refused when they are called, and so is plain HTTP that would leave the network."""
    one = seen(fired(throttle()))
    inside = MailSink(name="m", host="127.0.0.1", port=25, sender="t@example.com", to=("o@example.com",))
    slack_sink = SlackSink(target=Target(name="s", url="https://127.0.0.1/x"))
    for sink in (inside, slack_sink):
        assert sink.send(one, NOW) == (
            Answer.AGAIN, "Forbidden: 127.0.0.1 resolves to 127.0.0.1, which is not on the public internet",
        )  # fmt: skip
    public = AlertmanagerSink(target=Target(name="a", url="http://8.8.8.8:9/", private=True, plain=True))
    assert public.send(one, NOW).reason.startswith("Forbidden: 8.8.8.8 resolves to an address on the public internet")


def test_e_mail_without_tls_goes_nowhere_but_to_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "sinks.yaml"
    file.write_text(
        "- {name: m, type: email, host: mail.example, from: a@b.c, to: [o@b.c], plain: true, private: true}"
    )
    with pytest.raises(Exception, match="without TLS"):
        sinks(file, {})


def test_a_server_that_offers_no_tls_gets_no_password() -> None:
    port = free_port()
    server = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        sink = MailSink(
            name="m", host="127.0.0.1", port=port, sender="t@example.com", to=("o@example.com",), private=True,
            user="u", password="s3cret",
        )  # fmt: skip
        assert sink.send(seen(fired(throttle())), NOW) == (Answer.AGAIN, "SMTPNotSupportedError")
        assert "s3cret" not in repr(sink)
    finally:
        server.stop()
