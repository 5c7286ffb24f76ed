"""The feed of `usage.alerts`: each statement once and in order, wherever a feed dies; nothing that was sent before."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from aggregate.alerts import feed, ledger
from aggregate.alerts.feed import Feed
from schemas.alerts import Alert, Kind, State, Statement, statement_of
from schemas.kafka import topics
from schemas.kafka.partitions import partition_of_key
from schemas.tables import ALERTS
from tests.aggregate.quota_kafka import PARTITIONS, Quotas
from tollbook.kafka.options import KafkaConfig

pytestmark = pytest.mark.integration

NOON = datetime(2026, 10, 10, 12, tzinfo=UTC)


class Site:
    """A lake, and its feed on a broker."""

    def __init__(self, quotas: Quotas) -> None:
        self.quotas = quotas
        self.lake = quotas.lake
        self.lake.create()
        self.topic = quotas.name(topics.USAGE_ALERTS)

    def state(self, *partners: str, name: str = "one") -> list[Statement]:
        """Record that alerts fired, in one commit."""
        new = [
            statement_of(
                Alert(Kind.THROTTLE, p, {"episode": name}, NOON, {"peak": 3}, p), State.FIRED, events_version=1
            )
            for p in partners
        ]
        ledger.record(self.lake, ledger.read(self.lake).table, new, events_version=1)
        return new

    def feed(self) -> Feed:
        """A feed as a worker starts it."""
        config = self.quotas.kafka
        consumer = Consumer({**config.consumer_options("feed", protocol="classic"), "log_level": 0})
        sent = feed.sent(consumer, self.topic, PARTITIONS)
        consumer.close()
        producer = Producer({**config.producer_options(linger_ms=0), "log_level": 0})
        return Feed(self.lake, producer, self.topic, sent, partitions=PARTITIONS)

    def received(self) -> list[str]:
        """The ids in the topic, in the order of each partition."""
        return [a["id"] for a in self.quotas.alerts()]


@pytest.fixture
def site(kafka: str, kafka_prefix: str, tmp_path: Path) -> Site:
    quotas = Quotas(KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix), tmp_path)
    quotas.create()
    return Site(quotas)


def drain(fed: Feed) -> list[str]:
    """Send all that is recorded; the ids that were sent."""
    ids = []
    before = -1
    while fed.version != before:
        before = fed.version
        ids += [s.statement_id for s in fed.step()]
    return ids


def ids(statements: Sequence[Statement]) -> list[str]:
    return [s.statement_id for s in statements]


def test_a_feed_that_starts_anywhere_sends_what_is_missing_and_nothing_twice(site: Site) -> None:
    """A feed is started after each commit, as if the one before had died behind its last message."""
    expected = []
    for number in range(4):
        expected += ids(site.state("a", "b", "c", name=str(number)))
        assert sorted(drain(site.feed())) == sorted(expected[-3:])
        assert drain(site.feed()) == [], "between its messages and the next commit"
    expected += ids(site.state("a", name="last"))
    expected += ids(site.state("b", name="last"))
    assert drain(site.feed()) == expected[-2:]
    assert sorted(site.received()) == sorted(expected)
    for message in site.quotas.read(topics.USAGE_ALERTS):
        key = (message.key() or b"").decode()
        assert message.partition() == partition_of_key(key, PARTITIONS)


@pytest.mark.parametrize("kept", [0, 1, 2, 5])
def test_a_feed_that_died_within_a_commit_sends_the_rest_of_it(site: Site, kept: int) -> None:
    """Some messages of a commit are in the topic: those of each partition are a beginning of its rows."""
    site.state("a")
    drain(site.feed())
    new = site.state(*(f"p{n}" for n in range(9)), name="many")
    died = site.feed()
    version = site.lake.open(ALERTS).version
    for row, statement in enumerate(ledger.stated(site.lake, version, {})[:kept]):
        died._send(feed.Position(version, row), statement)
    assert died._producer.flush(30) == 0
    assert len(drain(site.feed())) == len(new) - kept
    received = site.received()
    assert len(received) == len(set(received)) == len(new) + 1


def test_alerts_that_an_earlier_version_sent_are_not_sent_again(site: Site) -> None:
    """Its messages have no position, and the lake's table was empty: their ids are read."""
    old = site.state("a", "b")
    site.quotas.put(
        topics.USAGE_ALERTS,
        [
            (
                s.alert.subject,
                json.dumps({"id": s.statement_id}).encode(),
                partition_of_key(s.alert.subject, PARTITIONS),
            )
            for s in old
        ],
    )
    new = site.state("a", name="new")
    assert drain(site.feed()) == ids(new)


def test_a_topic_whose_messages_have_all_expired_gets_only_what_is_new(site: Site) -> None:
    """Alerts of last year must not come again because a topic keeps a month."""
    sent = feed.Sent({}, frozenset(), is_emptied=True)
    site.state("a")
    config = site.quotas.kafka
    producer = Producer({**config.producer_options(linger_ms=0), "log_level": 0})
    fed = Feed(site.lake, producer, site.topic, sent, partitions=PARTITIONS)
    assert drain(fed) == []
    new = site.state("b")
    assert drain(fed) == ids(new)
