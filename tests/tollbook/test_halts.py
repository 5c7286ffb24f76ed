"""Workers on a real broker that must not go on as things are: they say why, in one line with the remedy, and pass
over nothing.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from schemas.kafka.topics import GATEWAY_ACCESS, USAGE_DEAD, USAGE_EVENTS
from tests.kafka.broker import Broker, free_ports
from tests.kafka.finding import missing
from tests.kafka.installation import Installation
from tests.kafka.jars import Unavailable
from tests.kafka.messages import events_message
from tests.kafka.processes import Process
from tests.tollbook.fixtures import write_catalog
from tests.tollbook.waiting import eventually

READ, DESCRIBE, DESCRIBE_CONFIGS = AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
GOOD = events_message("other", range(3), ["x", "y", "z"])


@pytest.fixture
def site(kafka: str, kafka_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """Topics of two partitions, and processes that end with the test."""
    made = Installation(kafka, kafka_prefix, tmp_path, write_catalog(tmp_path / "catalog"))
    yield made
    made.close()


def landed(worker: Process, events: int) -> None:
    """Wait until a worker has counted so many events."""
    counts: list[int] = []

    def enough(line: object) -> bool:
        assert isinstance(line, dict)
        counts.append(line.get("counted", 0))
        return sum(counts) >= events

    worker.until(enough)


def test_a_gap_of_retention_halts_its_partition_and_no_other(site: Installation) -> None:
    """What was deleted before it was landed is named, with its number; health and metrics show it until somebody
    acts.
    """
    site.send_events(3)
    with site.land() as worker:
        landed(worker, 30)
        assert worker.get("/healthz") == (200, "ok\n")
        assert worker.stop() == 0
    assert site.landed() == 3
    site.send_events(4)
    site.delete_records(USAGE_EVENTS, 5)
    site.send_events(2, partition=1)
    with site.land() as worker:
        halted = worker.until_logged("RETENTION_GAP")
        assert halted["reason"] == "RETENTION_GAP"
        assert halted["level"] == "error"
        assert "the lake continues at 3, but the broker has 5 to 7; 2 messages are gone" in halted["message"]
        landed(worker, 20)
        status, wrong = worker.get("/healthz")
        assert status == 503
        assert "RETENTION_GAP" in wrong
        assert worker.metric("tollbook_halted_partitions", reason="RETENTION_GAP") == 1
        assert worker.stop() == 0
    assert (site.landed(), site.landed(1)) == (3, 2)


def test_a_record_that_is_no_batch_halts_its_partition_and_no_other(site: Installation) -> None:
    """A foreign writer is noticed at its first record, which is named by its offset; nothing behind it is read."""
    site.send_events(1)
    site.send(USAGE_EVENTS, (b"hello", []))
    site.send_events(1)
    with site.land() as worker:
        halted = worker.until_logged("BAD_MESSAGE")
        assert f"{site.prefix}usage.events/0: offset 1" in halted["message"]
        assert "stop it" in halted["message"]
        site.send_events(1, partition=1)
        landed(worker, 20)
        assert worker.get("/healthz")[0] == 503
        assert worker.metric("tollbook_halted_partitions", reason="BAD_MESSAGE") == 1
        assert worker.stop() == 0
    assert (site.landed(), site.landed(1)) == (1, 1)


@pytest.mark.slow
def test_a_batch_of_a_version_to_come_halts_and_waits_for_a_worker_that_can_read_it(site: Installation) -> None:
    """A newer ingest was started first: land stops at that very offset, and says what to upgrade."""
    site.send_events(1)
    site.send(USAGE_EVENTS, (GOOD[0], [("schema", b"tollbook.events/9"), *GOOD[1][1:]]))
    with site.land() as worker:
        halted = worker.until_logged("BAD_MESSAGE")["message"]
        assert "'tollbook.events/9' is unknown" in halted
        assert "upgrade this worker" in halted
        assert worker.stop() == 0
    assert site.landed() == 1


@pytest.mark.slow
def test_a_gap_that_opens_under_a_running_worker_is_met_by_the_fetch(site: Installation) -> None:
    """A worker that slept longer than retention: the broker's answer is a halt with both offsets, never a jump."""
    site.send_events(3)
    with site.land() as worker:
        landed(worker, 30)
        worker.signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.ended(1.5)  # until the fetch that it has sent is answered: nothing new
        site.send_events(3)
        site.delete_records(USAGE_EVENTS, 5)
        worker.signal(signal.SIGCONT)
        halted = worker.until_logged("RETENTION_GAP")["message"]
        assert "the lake continues at 3, but the broker has 5 to 6; 2 messages are gone" in halted
        assert worker.get("/healthz")[0] == 503
        assert worker.stop() == 0
    assert site.landed() == 3


def test_a_topic_made_anew_is_not_the_one_that_was_landed(site: Installation) -> None:
    """Offsets of one topic mean nothing in another of its name: no worker starts on it, whatever it holds."""
    site.send_events(3)
    with site.land() as worker:
        landed(worker, 30)
        assert worker.stop() == 0
    site.delete(USAGE_EVENTS)
    site.make(USAGE_EVENTS)
    site.send_events(5)
    with site.land() as worker:
        assert worker.ended() == 2
        (line,) = worker.log_lines
        assert "TOPIC_RECREATED" in line["message"]
        assert "--prefix" in line["message"]
    assert site.landed() == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("messages", "what"),
    [
        pytest.param(0, "TOPIC_RECREATED", id="shorter than what was landed"),
        pytest.param(6, r"ingest skipped", id="longer"),
    ],
)
def test_a_topic_made_anew_under_a_running_worker_is_noticed(site: Installation, messages: int, what: str) -> None:
    """The offset may be beyond the end; if it is not, what stands there does not go on where the lake stopped."""
    site.send_events(3)
    with site.land() as worker:
        landed(worker, 30)
        site.delete(USAGE_EVENTS)
        site.make(USAGE_EVENTS)
        site.send_events(messages)
        worker.until_logged(what)
        assert (worker.ended() == 2) if messages else (worker.get("/healthz")[0] == 503)
    assert site.landed() == 3


@pytest.mark.slow
def test_more_partitions_keep_every_worker_from_starting(site: Installation) -> None:
    """A resend would be met by another worker than its first copy, and be billed twice."""
    site.send_events(1)
    with site.land() as worker:
        landed(worker, 10)
        assert worker.stop() == 0
    grow(site)
    with site.land() as worker:
        assert worker.ended() == 2
        (line,) = worker.log_lines
        assert "PARTITIONS_CHANGED" in line["message"]
        assert "had 2 partitions and now has 3" in line["message"]


@pytest.mark.slow
def test_more_partitions_end_a_worker_that_is_given_one_of_them(site: Installation) -> None:
    """A worker that runs when the topic grows hears of it when the group shares out the new partition."""
    site.send_events(1)
    with site.land(code=("-m", "tests.e2e.mutants"), env={"TOLLBOOK_TEST_FAULT": "eager"}) as worker:
        landed(worker, 10)
        grow(site)
        assert worker.ended() == 2
        assert (
            "had 2 partitions when this worker started and has more now"
            in worker.until_logged("PARTITIONS_CHANGED")["message"]
        )


def grow(site: Installation) -> None:
    """Give `usage.events` a third partition."""
    topic = site.prefix + USAGE_EVENTS
    site.admin.create_partitions([NewPartitions(topic, 3)])[topic].result()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ingest", "land"])
def test_a_missing_topic_is_named_with_the_command_that_makes_it(site: Installation, command: str) -> None:
    """Nothing is made by a worker, and nothing is waited for."""
    site.delete(USAGE_DEAD)
    with getattr(site, command)() as worker:
        assert worker.ended() == 2
        assert [line["message"] for line in worker.log_lines] == [
            f"error: {site.prefix}usage.dead: does not exist; `tollbook topics create` creates it"
        ]


@pytest.mark.slow
def test_times_by_the_senders_clock_are_refused_before_and_while_ingest_runs(site: Installation) -> None:
    """What is late would go by the clock of whoever sent it; a topic set so under a running worker is met at the
    next record.
    """
    line = (b"{}", [("format", b"kong"), ("source", b"edge")])
    with site.ingest() as worker:
        worker.until_logged("started")
        site.set(GATEWAY_ACCESS, **{"message.timestamp.type": "CreateTime"})
        # The broker answers before it goes by the new setting.
        eventually(lambda: site.send(GATEWAY_ACCESS, line) is None and worker.code is not None)
        assert worker.ended() == 2
        assert "set message.timestamp.type=LogAppendTime" in worker.until_logged("BAD_TOPIC")["message"]
    with site.ingest() as worker:
        assert worker.ended() == 2
        (halted,) = worker.log_lines
        assert "message.timestamp.type is CreateTime, not LogAppendTime" in halted["message"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ingest", "land"])
def test_a_broker_that_is_away_is_worth_another_try(tmp_path: Path, command: str) -> None:
    """75: a supervisor starts it again, and it will work when the broker is back."""
    (port,) = free_ports(1)
    words = [command, "--bootstrap-servers", f"127.0.0.1:{port}", "--catalog", write_catalog(tmp_path / "catalog")]
    with Process([*words, *(["--lake", tmp_path / "lake"] if command == "land" else [])]) as worker:
        assert worker.ended(30) == 75
        assert [line["message"] for line in worker.log_lines if "FAIL" not in line["message"]] == [
            f"error: 127.0.0.1:{port}: connecting: no broker answers there; start the brokers or correct --bootstrap-servers, then repeat the command"
        ]


@pytest.mark.slow
def test_missing_rights_are_named_and_are_no_reason_to_try_again(tmp_path: Path) -> None:
    """2: only an administrator can fix it. At the start, when the group is joined, and at the first message."""
    try:
        broker = Broker(users={"worker": "secret"})
    except Unavailable as exc:
        missing([str(exc)])
    with broker:
        site = Installation(broker.bootstrap, "", tmp_path, write_catalog(tmp_path / "catalog"))
        login = ["--security", "SASL_PLAINTEXT", "--sasl-mechanism", "PLAIN", "--sasl-username", "worker"]
        words = ["ingest", "--bootstrap-servers", broker.sasl_bootstrap, *login, "--catalog", site.catalog]
        site.send(GATEWAY_ACCESS, (b"{}", [("format", b"kong"), ("source", b"edge")]))

        def refused(what: str) -> None:
            with Process(words, env={"TOLLBOOK_KAFKA_SASL_PASSWORD": "secret"}) as worker:
                assert worker.ended() == 2
                assert what in worker.log_lines[-1]["message"]
                assert "ask the cluster's administrator to allow it for this user" in worker.log_lines[-1]["message"]

        # One right at a time is the next to be asked for: of the group's and the cluster's, either may come first. To
        # write to a topic includes the cluster's, so that one is granted last.
        refused("describing topic gateway.access")
        acl(site, ResourceType.TOPIC, READ, DESCRIBE, DESCRIBE_CONFIGS)
        acl(site, ResourceType.GROUP, READ)
        refused("CLUSTER_AUTHORIZATION_FAILED")
        acl(site, ResourceType.BROKER, AclOperation.IDEMPOTENT_WRITE)
        refused("Topic authorization failed")
        acl(site, ResourceType.TOPIC, AclOperation.WRITE)
        with Process(words, env={"TOLLBOOK_KAFKA_SASL_PASSWORD": "secret"}) as worker:
            worker.until_logged("ingested")
            assert worker.stop() == 0
        acl(site, ResourceType.GROUP, READ, permission=AclPermissionType.DENY)
        refused("GROUP_AUTHORIZATION_FAILED")


def acl(
    site: Installation,
    kind: ResourceType,
    *operations: AclOperation,
    permission: AclPermissionType = AclPermissionType.ALLOW,
) -> None:
    """Let the user `worker` do something to all topics, all groups, or the cluster; or forbid it."""
    name = "kafka-cluster" if kind == ResourceType.BROKER else "*"
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:worker", "*", operation, permission)
        for operation in operations
    ]
    for done in site.admin.create_acls(bindings).values():
        done.result()
