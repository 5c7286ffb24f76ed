"""`quota.state` and `tollbook quota state`: what is published about credentials, when, and in which form."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from aggregate.decisions.rule import DecisionPolicy
from lake.lake import Lake
from schemas.kafka.partitions import partition_of_key
from tests.conftest import MakeTopic
from tests.kafka.processes import ROOT
from tests.tollbook.deciding import CATALOG, use, write_catalog
from tests.tollbook.fixtures import Here
from tollbook.deciding.follower import Follower
from tollbook.deciding.publisher import StatePublisher
from tollbook.deciding.states import States

NOW = datetime(2026, 10, 15, 12, tzinfo=UTC)
SCHEMA = json.loads((ROOT / "schemas" / "quota.state.schema.json").read_text())
LOG = logging.getLogger("test")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A lake in which acme has used 9 of 10, and its catalog."""
    place = tmp_path / "place"
    place.mkdir()
    use(place / "lake", "acme", 9, NOW, "g1")
    write_catalog(place / "catalog")
    return place


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def follower(place: Path, clock: Callable[[], datetime]) -> Follower:
    return Follower(Lake(place / "lake"), place / "catalog", clock=clock, log=LOG)


def test_a_state_is_published_when_it_changes_and_not_again(place: Path) -> None:
    """A commit, the end of the period without any event, and a credential that leaves the catalog."""
    clock = Clock()
    following, states = follower(place, clock), States(DecisionPolicy())

    def changed() -> dict[str, str | None]:
        following.step()
        found = states.changed(following.view, clock())
        for state in found:
            if state.value is not None:
                jsonschema.Draft202012Validator(SCHEMA).validate(state.value)
        return {
            state.key: None if state.value is None else state.value["reason"] or state.value["used"] for state in found
        }

    first = changed()
    assert first["credential|api_key:a-1"] == first["credential|oidc:https://i.example|c"] == "9"
    assert first["credential|api_key:d-1"] == "SUSPENDED"
    assert changed() == {}
    use(place / "lake", "acme", 1, NOW + timedelta(seconds=1), "g2")
    assert changed() == {"credential|api_key:a-1": "QUOTA", "credential|oidc:https://i.example|c": "QUOTA"}
    clock.now = datetime(2026, 11, 1, tzinfo=UTC)
    turned = changed()
    assert (turned["credential|api_key:a-1"], turned["credential|api_key:b-1"]) == ("0", "0")
    write_catalog(place / "catalog", CATALOG.replace("{kind: api_key, id: b-1}", "{kind: api_key, id: b-2}"))
    for _ in range(9):
        following.step()
    later = changed()
    assert (later["credential|api_key:b-1"], later["credential|api_key:b-2"]) == (None, "0")


def test_the_topic_has_a_record_for_each_credential_and_says_up_to_when_it_is_current(
    place: Path, kafka: str, make_topic: MakeTopic
) -> None:
    """In the partition of the partner, as its totals are."""
    topic = make_topic("state", partitions=3)
    producer = Producer({"bootstrap.servers": kafka})
    publisher = StatePublisher(Lake(place / "lake"), place / "catalog", producer, topic, 3, clock=Clock(), log=LOG)
    rounds = iter((False, True))
    publisher.run(lambda _: next(rounds))
    producer.flush(30)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
    found: dict[tuple[int | None, str], dict[str, object]] = {}
    while len(found) < 5 + 3:
        message = consumer.poll(30)
        assert message is not None, f"only {sorted(found)}"
        found[message.partition(), (message.key() or b"").decode()] = json.loads(message.value() or b"")
    consumer.close()
    for value in found.values():
        jsonschema.Draft202012Validator(SCHEMA).validate(value)
    assert {p for p, key in found if key == "as_of"} == {0, 1, 2}
    at = partition_of_key("acme", 3)
    assert found[at, "credential|api_key:a-1"]["used"] == "9"


def test_the_screen_shows_what_gateways_are_told(here: Here, place: Path) -> None:
    """Who is denied, why, and until when."""
    use(place / "lake", "acme", 1, NOW + timedelta(seconds=1), "g2")
    words = ["quota", "state", "--lake", place / "lake", "--catalog", place / "catalog", "--now", NOW.isoformat()]
    shown = here.tollbook(*words, "--denied")
    assert shown.code == 0, shown.err
    rows = [line.split() for line in shown.out.splitlines()[2:]]
    assert rows[0] == ["api_key:a-1", "acme", "deny", "QUOTA", "10", "10", "requests,", "MONTH", "11-01", "00:00"]
    assert [row[0] for row in rows] == ["api_key:a-1", "oidc:https://i.example|c", "api_key:d-1"]
    found = here.tollbook(*words, "--partner", "bolt", "--json").json["decisions"]
    assert [(each["credential"], each["decision"], each["used"]) for each in found] == [("api_key:b-1", "allow", "0")]
    assert here.tollbook(*words, "--partner", "nobody").out == "No credential matches.\n"
