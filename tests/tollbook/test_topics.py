"""`tollbook topics` on a real broker: what it creates, what it fixes, and what it refuses to change."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from schemas.kafka import topics as table
from schemas.kafka.topics import DAY_MS, required_settings
from tests.conftest import MakeTopic, topic_maker
from tests.kafka.broker import Broker, free_ports
from tests.kafka.finding import missing
from tests.kafka.jars import Unavailable
from tests.tollbook.fixtures import Ended, Here
from tollbook.cli.errors import AGAIN, OK, REFUSED, USAGE, guarded
from tollbook.cli.kafka import topics
from tollbook.kafka.cluster import Cluster, ExistingTopic
from tollbook.kafka.errors import KafkaRefused, KafkaUnreachable
from tollbook.kafka.options import PASSWORD, KafkaConfig

SECRET = "wH!sper-7"
PARTITIONS = 4  # fewer than in life: the broker has to make and delete them all
DEMANDED = {t.name: t for t in table.table(partitions=PARTITIONS)}


class Cli:
    """The command for one prefix of one cluster."""

    def __init__(self, here: Here, bootstrap: str, prefix: str) -> None:
        self.config = KafkaConfig(bootstrap_servers=bootstrap, prefix=prefix)
        self.prefix = prefix
        self._here = here
        self._words = ["--bootstrap-servers", bootstrap, "--prefix", prefix, "--partitions", PARTITIONS]

    def __call__(self, command: str, *words: object, replication: int = 1) -> Ended:
        return self._here.tollbook("topics", command, *self._words, "--replication", replication, *words)

    def found(self) -> dict[str, ExistingTopic]:
        """The topics of this prefix, by their names without it."""
        known = Cluster(self.config).found([t.name for t in table.table(self.prefix)])
        return {name.removeprefix(self.prefix): found for name, found in known.items()}

    def complaints(self, ended: Ended) -> list[str]:
        return [line.removeprefix(self.prefix) for line in ended.complaints]


@pytest.fixture
def cli(here: Here, kafka: str, kafka_prefix: str) -> Cli:
    return Cli(here, kafka, kafka_prefix)


def settings(name: str, **changes: str) -> dict[str, str]:
    """Settings of a topic as they must be, some of them changed; `_` stands for a point."""
    demanded = {rule.setting: rule.value for rule in required_settings(DEMANDED[name], 1)}
    return {**demanded, **{k.replace("_", "."): v for k, v in changes.items()}}


def test_create_makes_every_topic_as_the_table_says_and_repeating_it_changes_nothing(cli: Cli) -> None:
    """What check finds, create has made; both read one table, and the broker's own word is compared with it here."""
    before = cli("check")
    assert before.code == REFUSED
    assert cli.complaints(before) == [
        f"{t.name}: does not exist; `tollbook topics create` creates it" for t in table.table()
    ]
    made = cli("create")
    assert (made.code, made.err) == (OK, "")
    found = cli.found()
    events = found["usage.events"]
    assert (events.partitions, events.replication) == (PARTITIONS, 1)
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": str(14 * DAY_MS),
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(8 * 2**20),
        "compression.type": "producer",
        "min.insync.replicas": "1",
        "unclean.leader.election.enable": "false",
    }
    assert {k: events.settings[k] for k in wanted} == wanted
    assert found["usage.totals"].settings["cleanup.policy"] == "compact"
    assert found["tollbook-quota-__assignor-__leader"].partitions == 1
    assert len(found) == len(table.table())
    again = cli("create")
    assert (again.code, again.out, again.err) == (OK, f"{len(found)} topics have the required settings\n", "")
    assert cli.found() == found
    assert cli("check").code == OK


def test_several_may_create_at_the_same_time(cli: Cli) -> None:
    """Every container of a deployment may start with it."""
    with ThreadPoolExecutor(3) as pool:
        codes = list(
            pool.map(lambda _: topics.create(kafka=cli.config, partitions=PARTITIONS, replication=1), range(3))
        )
    assert codes == [OK] * 3
    assert cli("check").code == OK


@pytest.mark.parametrize(
    ("name", "partitions", "changes", "says"),
    [
        pytest.param("usage.events", 16, {}, "usage.events: has 16 partitions, not 4: a resend", id="partitions of events"),
        pytest.param("usage.totals", 3, {}, "usage.totals: has 3 partitions, not 4: the data of one partner", id="partitions of totals"),
        pytest.param(
            "usage.events", PARTITIONS, {"cleanup_policy": "compact"}, "usage.events: cleanup.policy is compact, not delete", id="compacted log"
        ),
        pytest.param(
            "usage.events", PARTITIONS, {"cleanup_policy": "compact,delete"}, "usage.events: cleanup.policy is compact,delete, not", id="both"
        ),
        pytest.param(
            "quota.state", PARTITIONS, {"cleanup_policy": "delete"}, "quota.state: cleanup.policy is delete, not compact", id="state deleted"
        ),
        pytest.param(
            "gateway.access", PARTITIONS, {"message_timestamp_type": "CreateTime"},
            "gateway.access: message.timestamp.type is CreateTime, not LogAppendTime", id="foreign clock",
        ),
    ],
)  # fmt: skip
def test_what_would_break_exactness_is_refused_and_nothing_at_all_is_changed(
    cli: Cli, make_topic: MakeTopic, name: str, partitions: int, changes: Mapping[str, str], says: str
) -> None:
    """Setting it right would hide that records may have suffered already; half an installation would look whole."""
    make_topic(name, partitions=partitions, config=settings(name, **changes))
    before = cli.found()
    assert set(before) == {name}
    refused = cli("create")
    assert refused.code == REFUSED
    first, last = cli.complaints(refused)
    assert first.startswith(says)
    assert "--prefix" in first.partition("; ")[2]
    assert last == "nothing was changed"
    assert cli.found() == before
    checked = cli("check")
    assert checked.code == REFUSED
    assert first in cli.complaints(checked)


@pytest.mark.parametrize(
    ("name", "changes", "setting", "value"),
    [
        pytest.param("usage.events", {"retention_ms": str(14 * DAY_MS - 1)}, "retention.ms", str(14 * DAY_MS), id="kept too short"),
        pytest.param("usage.events", {"retention_bytes": "1000000"}, "retention.bytes", "-1", id="deleted for its size"),
        pytest.param("usage.dead", {"max_message_bytes": "1000"}, "max.message.bytes", str(8 * 2**20), id="too small"),
        pytest.param("usage.totals", {"segment_ms": "1"}, "segment.ms", str(DAY_MS), id="segments"),
        pytest.param("gateway.access", {"compression_type": "gzip"}, "compression.type", "producer", id="packed anew"),
        pytest.param(
            "usage.alerts", {"unclean_leader_election_enable": "true"}, "unclean.leader.election.enable", "false", id="unclean leader"
        ),
    ],
)  # fmt: skip
def test_a_setting_that_can_be_fixed_is_set_and_reported(
    cli: Cli, make_topic: MakeTopic, name: str, changes: Mapping[str, str], setting: str, value: str
) -> None:
    """check says that create would do it; create does it, and leaves the rest of the topic as it was."""
    make_topic(name, partitions=DEMANDED[name].partitions, config=settings(name, **changes))
    before = cli.found()[name]
    assert any(
        line.startswith(f"{name}: {setting} is ") and f"sets it to {value}" in line
        for line in cli.complaints(cli("check"))
    )
    created = cli("create")
    assert (created.code, created.err) == (OK, "")
    assert f"{cli.prefix}{name}: {setting} set to {value}\n" in created.out
    after = cli.found()[name]
    assert after.topic_id == before.topic_id
    assert after.settings == {**before.settings, setting: value}


@pytest.mark.parametrize(
    ("name", "partitions", "changes"),
    [
        pytest.param(
            "usage.events",
            PARTITIONS,
            {"retention_ms": "-1", "max_message_bytes": str(2**25)},
            id="for ever, and larger",
        ),
        pytest.param("usage.alerts", PARTITIONS, {"retention_ms": str(31 * DAY_MS)}, id="a day longer"),
        pytest.param("gateway.access", 3, {}, id="raw lines in another number of partitions"),
    ],
)
def test_more_than_is_demanded_is_left_as_it_is(
    cli: Cli, make_topic: MakeTopic, name: str, partitions: int, changes: Mapping[str, str]
) -> None:
    """Whoever keeps records longer has a reason, and shortening it would delete some."""
    make_topic(name, partitions=partitions, config=settings(name, **changes))
    before = cli.found()[name]
    assert cli("create").code == OK
    assert cli.found()[name] == before


def test_check_gives_programs_every_difference(cli: Cli, make_topic: MakeTopic) -> None:
    """A deployment can wait for `[]`, and distinguish what can be fixed from what people must decide."""
    make_topic("usage.events", partitions=5, config=settings("usage.events", retention_ms="1000"))
    checked = cli("check", "--json")
    assert checked.code == REFUSED
    mine = [d for d in checked.json if d["topic"] == f"{cli.prefix}usage.events"]
    assert [(d["difference"].partition(":")[0], d["grave"]) for d in mine] == [
        ("has 5 partitions, not 4", True),
        (f"retention.ms is 1000, not {14 * DAY_MS} or more", False),
    ]
    assert all(d["remedy"] for d in checked.json)
    assert len(checked.json) == 2 + len(table.table()) - 1


def test_a_worker_is_told_which_topics_it_has_or_why_it_must_not_start(cli: Cli, make_topic: MakeTopic) -> None:
    """A worker that starts on a topic of the wrong kind makes numbers that look right."""
    make_topic("usage.events", partitions=7, config=settings("usage.events"))
    make_topic("usage.dead", config=settings("usage.dead", cleanup_policy="compact"))
    (events,) = topics.required(cli.config, table.USAGE_EVENTS)
    assert (events.name, events.partitions) == (f"{cli.prefix}usage.events", 7)
    assert events.topic_id
    with pytest.raises(KafkaRefused, match=r"usage\.totals: does not exist; `tollbook topics create` creates it"):
        topics.required(cli.config, table.USAGE_EVENTS, table.USAGE_TOTALS)
    with pytest.raises(KafkaRefused, match=r"usage\.dead: cleanup\.policy is compact, not delete"):
        topics.required(cli.config, table.USAGE_DEAD)


def test_more_copies_than_brokers_cannot_be_made(cli: Cli) -> None:
    """The first thing a developer with one broker meets."""
    made = cli("create", replication=99)
    assert made.code == USAGE
    (line,) = made.complaints
    assert "INVALID_REPLICATION_FACTOR" in line
    assert line.endswith("set --replication to at most the number of brokers")


def test_copies_that_are_too_few_are_for_people_to_make(cli: Cli) -> None:
    """Moving copies is load on the whole cluster: it is never done in passing."""
    assert cli("create").code == OK
    for command in ("check", "create"):
        refused = cli(command, replication=2)
        assert refused.code == REFUSED
        assert "usage.events: replication is 1, not 2 or more" in refused.err
        assert "--replication 1" in refused.err


def test_a_cluster_that_does_not_answer_is_worth_another_try(capsys: pytest.CaptureFixture[str]) -> None:
    """A supervisor starts the command again at 75; at 2 it would give up while the brokers are merely late."""
    (port,) = free_ports(1)
    for server, reason in (
        (f"127.0.0.1:{port}", "no broker answers there"),
        ("nowhere.invalid:9092", "the host name is unknown"),
    ):
        config = KafkaConfig(bootstrap_servers=server)
        assert guarded(lambda config=config: Cluster(config, timeout_s=0.5) and OK) == AGAIN
        assert capsys.readouterr().err == (
            f"error: {server}: connecting: {reason}; start the brokers or correct --bootstrap-servers, then repeat the command\n"
        )


@pytest.fixture(scope="module")
def guarded_broker() -> Iterator[Broker]:
    """A broker with a login, rights, and the bad habit of making topics itself."""
    try:
        with Broker(settings={"auto.create.topics.enable": "true"}, users={"ann": SECRET}) as broker:
            yield broker
    except Unavailable as exc:
        missing([f"a broker with a login is started by Java: {exc}"])


@pytest.fixture
def login(guarded_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words with which Ann comes in."""
    monkeypatch.setenv(PASSWORD, SECRET)
    words = ["--bootstrap-servers", guarded_broker.sasl_bootstrap, "--security", "SASL_PLAINTEXT"]
    return [*words, "--sasl-mechanism", "PLAIN", "--sasl-username", "ann", "--replication", "1"]


def test_a_broker_that_makes_topics_itself_is_refused(here: Here, guarded_broker: Broker) -> None:
    """One early log line, and `gateway.access` stands there with one partition and the writer's clock."""
    for command in ("check", "create"):
        refused = here.tollbook("topics", command, "--bootstrap-servers", guarded_broker.bootstrap, "--replication", 1)
        assert refused.code == REFUSED
        assert refused.complaints[0].startswith("brokers: auto.create.topics.enable is true")
        assert "set it to false on every broker" in refused.complaints[0]
    assert (
        here.tollbook("topics", "check", "--bootstrap-servers", guarded_broker.bootstrap, "--json").json[0]["topic"]
        is None
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({PASSWORD: "guessed"}, "Invalid username or password (_AUTHENTICATION)", id="password"),
        pytest.param({"TOLLBOOK_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}, "supported mechanisms: PLAIN (_AUTHENTICATION)", id="mechanism"),
    ],
)  # fmt: skip
def test_a_login_that_fails_is_not_worth_another_try(
    here: Here, login: list[str], monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], says: str
) -> None:
    """The same password fails again; a supervisor that repeats it locks the account."""
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    if "TOLLBOOK_KAFKA_SASL_MECHANISM" in changes:
        at = login.index("--sasl-mechanism")
        login = login[:at] + login[at + 2 :]
    answer = here.tollbook("topics", "check", *login)
    assert answer.code == USAGE
    (line,) = answer.complaints
    assert says in line
    assert line.endswith("check --security, --sasl-username, the password and --ca-file")
    assert SECRET not in line
    assert "guessed" not in line


def test_without_rights_one_line_says_what_was_refused(here: Here, login: list[str]) -> None:
    """Logged in, and allowed nothing."""
    for command in ("check", "create"):
        answer = here.tollbook("topics", command, *login)
        assert answer.code == USAGE
        (line,) = answer.complaints
        assert "describing topic gateway.access" in line
        assert line.endswith("(TOPIC_AUTHORIZATION_FAILED); ask the cluster's administrator to allow it for this user")


def test_rights_on_the_topics_are_enough(here: Here, login: list[str], guarded_broker: Broker, tmp_path: Path) -> None:
    """Managed clusters show nobody how their brokers are set: then that one check is left out."""
    admin = AdminClient({"bootstrap.servers": guarded_broker.bootstrap, "log_level": 0})
    allowed = AclBinding(
        ResourceType.TOPIC,
        "ann-",
        ResourcePatternType.PREFIXED,
        "User:ann",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    assert [f.result(30) for f in admin.create_acls([allowed]).values()] == [None]
    (tmp_path / "password").write_text(SECRET)
    for command in ("create", "check"):
        done = here.tollbook(
            "topics", command, *login, "--prefix", "ann-", "--sasl-password-file", tmp_path / "password"
        )
        assert (done.code, done.err) == (OK, "")


def test_topics_of_another_prefix_are_left_alone(cli: Cli, here: Here, kafka: str, kafka_prefix: str) -> None:
    """Two installations on a cluster: what one makes, the other neither finds nor counts."""
    other = Cli(here, kafka, f"{kafka_prefix}other-")
    topic_maker(kafka, other.prefix)("usage.events", partitions=5)
    assert cli("create").code == OK
    assert cli("check").code == OK
    assert other.found()["usage.events"].partitions == 5
    assert other("check").code == REFUSED


def test_a_worker_may_start_as_soon_as_topics_are_created(kafka: str, kafka_prefix: str) -> None:
    """Brokers describe a new topic before they serve it: `quota` ended with NOT_LEADER_FOR_PARTITION then."""
    config = KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix)
    cluster = Cluster(config)
    new = {f"{kafka_prefix}new-{n}": 8 for n in range(4)}
    assert cluster.leaderless(new) == [f"{name}/{number}" for name in new for number in range(8)]
    cluster.make({name: (count, {}) for name, count in new.items()}, replication=1)
    assert cluster.settled(lambda: cluster.leaderless(new)) == []
    with pytest.raises(KafkaUnreachable, match=f"{kafka_prefix}none/0: no broker leads it yet; repeat the command"):
        topics.wait_for_leaders(Cluster(config, timeout_s=3), {f"{kafka_prefix}none": 1})
