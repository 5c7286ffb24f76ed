"""The table of topics: what must hold of it whatever numbers stand in it."""

import re

import faust
import pytest
from faust.assignor.leader_assignor import LeaderAssignor

from schemas.kafka import topics
from schemas.kafka.topics import DAY_MS, Topic, required_settings, table

ALL = {t.name: t for t in table()}
PARTNERS = [
    "usage.totals",
    "usage.alerts",
    "quota.state",
    "tollbook-quota-latest-changelog",
    "tollbook-quota-fired-changelog",
]


def settings(topic: Topic, replication: int = 3) -> dict[str, str]:
    return {rule.setting: rule.value for rule in required_settings(topic, replication)}


def test_the_table_is_closed() -> None:
    """A topic more or less is a decision; so is how long each is kept, and what is compacted."""
    days = {t.name: t.retention_ms // DAY_MS if t.retention_ms is not None else "newest of each key" for t in table()}
    assert days == {
        "gateway.access": 7,
        "usage.events": 14,
        "usage.dead": 30,
        "usage.alerts": 30,
        "usage.totals": "newest of each key",
        "quota.state": "newest of each key",
        "tollbook-quota-latest-changelog": "newest of each key",
        "tollbook-quota-fired-changelog": "newest of each key",
        "tollbook-quota-__assignor-__leader": "newest of each key",
    }


@pytest.mark.parametrize("prefix", ["", "blue-"])
def test_topics_of_the_quota_application_are_named_as_faust_names_them(prefix: str) -> None:
    """Faust makes or ignores what it does not find under its own names; then the first events crash it."""
    app = faust.App(topics.quota_app(prefix), broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
    wanted = {app.Table(name).changelog_topic_name for name in topics.QUOTA_TABLES}
    wanted.add(LeaderAssignor(app)._leader_topic_name)
    assert wanted == {t.name for t in table(prefix) if t.name.startswith(topics.quota_app(prefix))}


@pytest.mark.parametrize("partitions", [1, 12, 48])
def test_what_belongs_to_one_partner_has_one_number_of_partitions(partitions: int) -> None:
    """Faust reads a table's partition n beside the stream's partition n, or refuses to start."""
    made = {t.name: t for t in table(partitions=partitions)}
    assert {made[name].partitions for name in PARTNERS} == {partitions}
    assert all(made[name].partitions_fixed for name in PARTNERS)
    assert made["tollbook-quota-__assignor-__leader"].partitions == 1


def test_a_prefix_is_on_every_name_and_names_are_legal() -> None:
    """Two installations share a cluster and never a topic."""
    prefix = "a" * 64
    names = [t.name for t in table(prefix)]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) and name.startswith(prefix) for name in names)
    assert not set(names) & set(ALL)
    assert len(set(names)) == len(ALL)


def test_events_are_never_compacted_and_never_deleted_for_their_size() -> None:
    """Both lose records that land has not read; both are silent."""
    for name in ("gateway.access", "usage.events", "usage.dead", "usage.alerts"):
        found = settings(ALL[name])
        assert (found["cleanup.policy"], found["retention.bytes"]) == ("delete", "-1"), name
    assert ALL["usage.events"].partitions_fixed


@pytest.mark.parametrize("topic", table(), ids=lambda t: t.name)
def test_time_is_the_brokers_and_what_is_acknowledged_is_on_two_brokers(topic: Topic) -> None:
    """Event time as record time would let retention delete a backdated event at once."""
    for replication, in_sync in ((1, "1"), (2, "2"), (3, "2"), (5, "2")):
        found = settings(topic, replication)
        assert found["message.timestamp.type"] == "LogAppendTime"
        assert found["min.insync.replicas"] == in_sync
        assert found["unclean.leader.election.enable"] == "false"


def test_what_was_refused_fits_into_the_topic_for_it() -> None:
    """A raw record as large as the broker takes it, refused whole, with its reason and coordinates."""
    assert ALL["usage.dead"].message_bytes_max > ALL["gateway.access"].message_bytes_max
    assert ALL["usage.events"].message_bytes_max > ALL["gateway.access"].message_bytes_max
