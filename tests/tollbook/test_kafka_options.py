"""Options of Kafka's clients as values: what must be in them, and what must never be seen of them."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.kafka.topics import MESSAGE_BYTES_MAX
from tests.conftest import MakeTopic
from tests.tollbook.fixtures import Here
from tollbook.cli.errors import USAGE
from tollbook.kafka.options import PASSWORD, BadKafkaOptions, GroupProtocol, KafkaConfig

SECRET = "wH!sper-7"
PLAIN = KafkaConfig(bootstrap_servers="127.0.0.1:1", prefix="blue-", sasl_password=None)
LOGIN = KafkaConfig(
    bootstrap_servers="127.0.0.1:1",
    security="SASL_SSL",
    sasl_mechanism="PLAIN",
    sasl_username="ann",
    sasl_password=SECRET,
)
# What exactness rests on; each was chosen against librdkafka's default.
CONSUMER = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    "check.crcs": True,
}
PRODUCER = {
    "acks": "all",
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    "partitioner": "murmur2_random",
    "message.max.bytes": MESSAGE_BYTES_MAX,
}


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_no_offset_is_ever_committed_or_guessed_by_itself(protocol: GroupProtocol) -> None:
    """The lake knows the offset; a client that jumped to the end of the log would lose what lies between."""
    options = PLAIN.consumer_options("land", protocol=protocol)
    assert {k: options[k] for k in CONSUMER} == CONSUMER
    assert options["group.id"] == "blue-land"


def test_both_group_protocols_are_offered_with_what_belongs_to_each() -> None:
    """librdkafka refuses the classic protocol's settings under the new one: there the broker says them."""
    new = PLAIN.consumer_options("land", protocol="consumer", instance="w1")
    old = PLAIN.consumer_options("land", protocol="classic", instance="w1", session_timeout_ms=7_000)
    assert {k: v for k, v in old.items() if new.get(k) != v} == {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 7_000,
    }
    assert new["group.instance.id"] == old["group.instance.id"] == "blue-w1"
    assert "group.instance.id" not in PLAIN.consumer_options("land")


def test_a_message_is_written_once_and_in_order_or_reported_otherwise() -> None:
    """And where Java would have put it."""
    options = PLAIN.producer_options(compression="zstd", linger_ms=3)
    assert {k: options[k] for k in PRODUCER} == PRODUCER
    assert (options["compression.type"], options["linger.ms"]) == ("zstd", 3)


@pytest.mark.parametrize("config", [PLAIN, LOGIN], ids=["plain", "login"])
def test_librdkafka_knows_every_option(config: KafkaConfig) -> None:
    """A misspelt option is refused only when a client is made, which no value test would see."""
    quiet = {"log_level": 0}
    for protocol in ("consumer", "classic"):
        Consumer({**config.consumer_options("g", protocol=protocol, instance="i"), **quiet}).close()
    Producer({**config.producer_options(), **quiet}).flush(0)
    AdminClient({**config.client_options(), **quiet})


def test_the_password_is_in_no_text_about_the_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Log lines and tracebacks print options; a password in one is a password for everybody."""
    assert LOGIN.client_options()["sasl.password"] == SECRET
    monkeypatch.setenv(PASSWORD, SECRET)
    known = KafkaConfig(bootstrap_servers="b:1", security="SASL_SSL", sasl_username="ann")
    assert known.client_options()["sasl.password"] == SECRET
    assert SECRET not in f"{LOGIN} {LOGIN!r} {known}"
    (tmp_path / "password").write_text(f"{SECRET} from a file\n")
    filed = KafkaConfig(
        bootstrap_servers="b:1", security="SASL_SSL", sasl_username="ann", sasl_password_file=tmp_path / "password"
    )
    assert filed.client_options()["sasl.password"] == f"{SECRET} from a file"


def test_certificates_are_read_where_encryption_is_asked_for(tmp_path: Path) -> None:
    """And nowhere else: a plain connection must not fail for a file that it does not need."""
    authority = tmp_path / "ca.pem"
    authority.write_text("-----BEGIN")
    assert (
        KafkaConfig(bootstrap_servers="b:1", security="SSL", ca_file=authority).client_options()["ssl.ca.pem"]
        == "-----BEGIN"
    )
    assert "ssl.ca.pem" not in KafkaConfig(bootstrap_servers="b:1", ca_file=tmp_path / "none").client_options()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"bootstrap_servers": " "}, "--bootstrap-servers is empty", id="no servers"),
        pytest.param({"prefix": "a b"}, "--prefix 'a b' is not valid; use at most 64 letters", id="prefix"),
        pytest.param({"prefix": "a" * 65}, "at most 64 letters", id="long prefix"),
        pytest.param({"security": "SASL_SSL"}, "--security SASL_SSL needs --sasl-username", id="no user"),
        pytest.param(
            {"security": "SASL_PLAINTEXT", "sasl_username": "ann"}, f"set the variable {PASSWORD}", id="no password"
        ),
    ],
)
def test_options_that_cannot_work_name_what_is_missing(
    wrong: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, not at the first connection."""
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(BadKafkaOptions, match=message):
        KafkaConfig(**{"bootstrap_servers": "b:1", **wrong})  # type: ignore[arg-type]


def test_the_command_takes_them_from_the_environment_and_a_flag_is_stronger(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container has an environment, a person has flags. An error is one line, with code 2."""
    monkeypatch.delenv("TOLLBOOK_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    unnamed = here.tollbook("topics", "check")
    assert unnamed.code == USAGE
    assert "--bootstrap-servers" in unnamed.complaints[0]
    monkeypatch.setenv("TOLLBOOK_KAFKA_BOOTSTRAP_SERVERS", "from-the-environment:1")
    monkeypatch.setenv("TOLLBOOK_KAFKA_PREFIX", "not legal")
    assert here.tollbook("topics", "check").complaints == [
        "--prefix 'not legal' is not valid; use at most 64 letters, digits, '.', '_' and '-'"
    ]
    monkeypatch.setenv("TOLLBOOK_KAFKA_SECURITY", "SASL_PLAINTEXT")
    by_flag = here.tollbook("topics", "check", "--prefix", "legal-")
    assert (by_flag.code, by_flag.complaints) == (USAGE, ["--security SASL_PLAINTEXT needs --sasl-username"])


def test_there_is_no_flag_for_the_password(here: Here) -> None:
    """Everybody on the machine sees the flags of a process."""
    answer = here.tollbook("topics", "check", "--bootstrap-servers", "b:1", "--sasl-password", SECRET)
    assert answer.code == USAGE
    assert "--sasl-password" in answer.complaints[0]
    assert "--sasl-password " not in here.tollbook("topics", "check", "--help").out


@pytest.mark.parametrize("offset", [0, 5], ids=["before the log", "beyond its end"])
def test_an_offset_that_the_log_does_not_hold_is_an_error_and_never_a_jump(
    kafka: str, make_topic: MakeTopic, offset: int
) -> None:
    """Kafka's default is to go on at the end: everything in between would be lost without a word."""
    config = KafkaConfig(bootstrap_servers=kafka)
    topic = make_topic("log")
    producer = Producer({**config.producer_options(), "log_level": 0})
    for _ in range(4):
        producer.produce(topic, b"x")
    assert producer.flush(30) == 0
    admin = AdminClient(config.client_options())
    deleted = admin.delete_records([TopicPartition(topic, 0, 2)])
    assert [f.result(30).low_watermark for f in deleted.values()] == [2]
    consumer = Consumer({**config.consumer_options("readers"), "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, offset)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.error() is not None
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
