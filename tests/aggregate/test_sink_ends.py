"""Alerts that end without a statement: PagerDuty's incidents are resolved, once each, over processes and failures."""

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Consumer

from aggregate.alerts.messages import cloud_event
from aggregate.sinks import ends
from aggregate.sinks.alertmanager import alert
from aggregate.sinks.chat import PagerDutySink
from aggregate.sinks.courier import Courier
from aggregate.sinks.ends import Ends
from aggregate.sinks.http import Target
from aggregate.sinks.outbox import FOLDER, Outbox
from aggregate.sinks.retries import Backoff
from aggregate.sinks.sink import Answer
from lake.lake import Lake
from schemas.alerts import State, Statement, statement_of
from schemas.kafka.topics import USAGE_ALERTS
from tests.aggregate.quota_kafka import Quotas
from tests.aggregate.receivers import Receiver, receiver
from tests.aggregate.test_sinks import AT, GO, LOG, NOW, fired, lake, record, seen, throttle, withdrawn
from tests.conftest import MakeTopic
from tollbook.kafka.options import KafkaConfig

pytestmark = pytest.mark.integration
__all__ = ["lake"]  # a fixture

HOUR = timedelta(hours=1)
Action = tuple[str, str]  # event_action, dedup_key


def pagerduty(to: Receiver) -> PagerDutySink:
    return PagerDutySink(target=Target(name="pager", url=to.url, private=True), key="r0uting")


def run(lake: Lake, to: Receiver, now: datetime) -> Answer:
    """One run on one machine, as a process of its own would do it."""
    return Outbox(lake, pagerduty(to), log=LOG, clock=lambda: now).send_all(GO).answer


def came(to: Receiver) -> list[Action]:
    """What a receiver was told since the last time."""
    bodies = [json.loads(to.received.get_nowait().body) for _ in range(to.received.qsize())]
    return [(body["event_action"], body["dedup_key"]) for body in bodies]


def restated(first: Statement, ends_at: datetime) -> Statement:
    return statement_of(first.alert._replace(ends_at=ends_at), State.RESTATED, events_version=2, after=first)


def test_an_incident_is_resolved_when_its_alert_ends(lake: Lake) -> None:
    """A quota whose month is over: nothing is stated then, and nobody should have to close it by hand."""
    first = fired(throttle(ends_at=NOW + HOUR))
    with receiver(200) as to:
        run(lake, to, NOW)
        record(lake, first, fired(throttle("bolt")))
        for now, expected in (
            (NOW, ["trigger", "trigger"]),
            (NOW + HOUR - timedelta(microseconds=1), []),
            (NOW + HOUR, ["resolve"]),
            (NOW + 2 * HOUR, []),
        ):
            assert run(lake, to, now) is Answer.DELIVERED
            told = came(to)
            assert [action for action, _ in told] == expected
        assert json.loads((lake.root / FOLDER / "pager.ends").read_text())["done"] == []


def test_what_was_over_before_it_was_told_is_shown_until_the_next_run(lake: Lake) -> None:
    """Episodes are recorded when they are over. If they were resolved at once, nobody would be called."""
    with receiver(200) as to:
        run(lake, to, NOW)
        over = fired(throttle(ends_at=AT))
        record(lake, over)
        for now, expected in ((NOW, ["trigger"]), (NOW + timedelta(minutes=1), ["resolve"]), (NOW + HOUR, [])):
            run(lake, to, now)
            assert came(to) == [(action, over.alert_id) for action in expected]


def test_a_statement_that_ends_an_alert_resolves_at_once(lake: Lake) -> None:
    """A source that has caught up, a partner that sends again, a correction. PagerDuty ignores a repeat."""
    caught_up, wrong, goes_on = fired(throttle()), fired(throttle("bolt")), fired(throttle("corp"))
    with receiver(200) as to:
        run(lake, to, NOW)
        record(lake, caught_up, wrong, goes_on)
        run(lake, to, NOW)
        came(to)
        record(lake, restated(caught_up, AT + HOUR), withdrawn(wrong), restated(goes_on, NOW + HOUR))
        run(lake, to, NOW)
        expected = {("resolve", caught_up.alert_id), ("resolve", wrong.alert_id), ("trigger", goes_on.alert_id)}
        assert set(came(to)) == expected
        run(lake, to, NOW + timedelta(minutes=1))
        assert set(came(to)) <= {("resolve", caught_up.alert_id)}
        run(lake, to, NOW + timedelta(minutes=2))
        assert came(to) == []


def test_ends_that_a_sink_does_not_take_are_told_later_and_the_others_not_again(lake: Lake) -> None:
    """PagerDuty is away for a moment, in the middle of three ends."""
    three = [fired(throttle(name, ends_at=NOW + n * timedelta(minutes=1))) for n, name in enumerate(("a", "b", "c"), 1)]
    with receiver(200) as to:
        run(lake, to, NOW)
        record(lake, *three)
        run(lake, to, NOW)
    with receiver(200, 503, 200) as to:
        assert run(lake, to, NOW + HOUR) is Answer.AGAIN
        assert came(to) == [("resolve", one.alert_id) for one in three[:2]]
        assert run(lake, to, NOW + HOUR) is Answer.DELIVERED
        assert came(to) == [("resolve", one.alert_id) for one in three[1:]]
        assert run(lake, to, NOW + 2 * HOUR) is Answer.DELIVERED
        assert came(to) == []


def test_alertmanager_is_told_that_an_alert_has_ended() -> None:
    """It would fire for five more minutes otherwise. One that was never told fires once, as before."""
    over = restated(fired(throttle()), AT + HOUR)
    assert datetime.fromisoformat(alert(seen(over), NOW, 300)["endsAt"]) == NOW
    unknown = fired(throttle(ends_at=AT + HOUR))
    assert datetime.fromisoformat(alert(seen(unknown), NOW, 300)["endsAt"]) == NOW + timedelta(minutes=5)


@contextlib.contextmanager
def courier(quotas: Quotas, to: Receiver, lake: Lake) -> Iterator[None]:
    """A courier on Kafka, in a thread."""
    stop, sink = threading.Event(), pagerduty(to)

    def now() -> datetime:
        return datetime.now(UTC)

    one = Courier(
        sink,
        Consumer({**quotas.kafka.consumer_options("pager", protocol="classic"), "log_level": 0}),
        quotas.name(USAGE_ALERTS),
        log=logging.getLogger("test"),
        clock=now,
        stop=stop,
        backoff=Backoff(first_s=0.05, max_s=0.2),
        ends=Ends(lake, sink, lake.root / FOLDER, clock=now),
    )
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_on_kafka_an_incident_is_resolved_after_it_was_triggered(
    lake: Lake, kafka: str, kafka_prefix: str, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While alerts wait for a receiver that is down, no end overtakes them: such an incident would stay open."""
    monkeypatch.setattr(ends, "LOOK_S", 0.05)  # a minute otherwise
    make_topic(USAGE_ALERTS)
    quotas = Quotas(KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix), lake.root.parent)
    with receiver(503, 503, 503, 200) as to:
        Ends(lake, pagerduty(to), lake.root / FOLDER, clock=lambda: datetime.now(UTC))  # it was here before the alert
        over = fired(throttle(ends_at=AT))
        record(lake, over)
        quotas.put(USAGE_ALERTS, [("acme", cloud_event(over), 0)])
        with courier(quotas, to, lake):
            told = [json.loads(to.next().body) for _ in range(5)]
    actions = [body["event_action"] for body in told]
    assert actions == ["trigger"] * 4 + ["resolve"]
    assert {body["dedup_key"] for body in told} == {over.alert_id}
    assert to.received.empty()
