"""The quota worker on a real Kafka: every alert that is due, none early, none under a second id, whatever happens to
it.
"""

import asyncio
import base64
import json
import logging
import random
import ssl
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from faust.types import TP
from standardwebhooks import Webhook

from aggregate.alerts import ledger
from aggregate.quota.app import QuotaSettings, QuotaWorker, changelogs
from aggregate.quota.sums import NOTHING, PartitionTotal, fired_encoded, parts_encoded
from schemas.halts import Halt, Halted
from schemas.kafka import topics
from schemas.kafka.partitions import partition_of_key
from schemas.kafka.totals import Total, messages
from tests.aggregate.quota_kafka import ANSWER_S, PARTITIONS, START, Quotas, total
from tests.aggregate.receivers import HANG, certificate, receiver
from tests.kafka.broker import Broker
from tollbook.cli.kafka.quota import settings_for
from tollbook.kafka.cluster import Cluster
from tollbook.kafka.errors import KafkaRefused
from tollbook.kafka.options import KafkaConfig, Security
from tollbook.workers.quota import Lag, Seldom, credentials

pytestmark = pytest.mark.integration

LATEST, FIRED, LEADER = changelogs(topics.QUOTA_APP)


@pytest.fixture
def quotas(kafka: str, kafka_prefix: str, tmp_path: Path) -> Quotas:
    """An installation of the test's own, with its topics."""
    installation = Quotas(KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix), tmp_path)
    installation.create()
    return installation


def grown(rng: random.Random, count: int) -> list[Total]:
    """So many totals of twenty partners from six partitions of events, each above the one before it."""
    used: dict[tuple[str, int], int] = {}
    totals = []
    for version in range(1, count + 1):
        partner, part = f"p{rng.randrange(20)}", rng.randrange(6)
        used[partner, part] = used.get((partner, part), 0) + rng.randrange(1, 60)
        totals.append(total(used[partner, part], version % 500, partner=partner, part=part, events_version=version))
    return totals


def sums(totals: Sequence[Total]) -> dict[str, Decimal]:
    """Used by partner in the end: an oracle that knows nothing of tables."""
    last = {(t.partner_id, t.events_partition): t.used for t in totals}
    return {partner: sum((u for (p, _), u in last.items() if p == partner), Decimal(0)) for partner, _ in last}


def predicted(totals: Sequence[Total]) -> set[tuple[str, str]]:
    """(partner, threshold) of every alert that must have been sent."""
    return {(p, str(t)) for p, used in sums(totals).items() for t in (50, 80, 90, 100) if used >= t * 10}


def check(quotas: Quotas, totals: Sequence[Total]) -> None:
    """Predicted and received are equal; none early, none twice under another id; the states are the sums."""
    alerts = quotas.alerts(len(predicted(totals)))
    assert {a["type"] for a in alerts} == {"tollbook.quota.threshold"}
    assert {(a["subject"], a["data"]["threshold_percent"]) for a in alerts} == predicted(totals)
    assert len({a["id"] for a in alerts}) == len(predicted(totals))
    for a in alerts:
        assert Decimal(a["data"]["used"]) >= 10 * Decimal(a["data"]["threshold_percent"])
    for s in quotas.states().values():
        assert Decimal(s["used"]) == sums(totals)[s["partner"]]
        assert s["over"] is (Decimal(s["used"]) >= 1000)


def test_what_is_predicted_is_what_is_received(quotas: Quotas) -> None:
    """Over many partitions, with old and equal totals published again, and a stop in the middle that must lose
    nothing.
    """
    rng = random.Random(4)
    totals = grown(rng, 1200)
    first, rest = totals[:500], totals[500:]
    quotas.send(*first)
    with quotas.worker() as worker:
        quotas.await_committed(1)
        quotas.send(*rest, *rng.sample(totals, 200))
        assert worker.stop() == 0
    with quotas.worker():
        quotas.await_committed(len(totals) + 200)
        check(quotas, totals)
    alert = next(a for a in quotas.alerts() if not a["data"]["passed"])
    assert alert["specversion"] == "1.0"
    assert alert["data"]["period"] == {
        "kind": "MONTH",
        "start": "2026-10-01T00:00:00+00:00",
        "end": "2026-11-01T00:00:00+00:00",
    }
    assert (alert["data"]["limit"], alert["data"]["unit"], alert["data"]["meter"]) == ("1000", "requests", "requests")
    for message in quotas.read(topics.USAGE_ALERTS):
        assert message.partition() == partition_of_key((message.key() or b"").decode(), PARTITIONS)


@pytest.mark.slow
def test_a_worker_killed_again_and_again_beside_another(quotas: Quotas) -> None:
    """Partitions go to and fro between workers that die: what one knew, the next one reads from the changelogs."""
    rng = random.Random(5)
    totals = grown(rng, 1500)
    with quotas.worker():
        for part in range(3):
            quotas.send(*totals[part * 500 : part * 500 + 400])
            with quotas.worker() as killed:
                quotas.await_committed(part * 500 + 200)
                quotas.send(*totals[part * 500 + 400 : part * 500 + 500])
                killed.kill()
        quotas.await_committed(len(totals))
        check(quotas, totals)


@pytest.mark.slow
def test_another_worker_takes_the_lease_over_when_its_holder_dies(quotas: Quotas) -> None:
    """Alerts go on behind the last one that the dead holder sent, and none comes twice."""
    with quotas.worker() as holder:
        quotas.send(total(600, 1))
        assert [a["data"]["threshold_percent"] for a in quotas.alerts(1)] == ["50"]
        with quotas.worker() as heir:
            holder.kill()
            quotas.send(total(950, 2))
            quotas.alerts(3)
            quotas.await_committed(2)
            assert "took the lease on alerts" in heir.logged
            assert heir.stop() == 0
    assert [a["data"]["threshold_percent"] for a in quotas.alerts()] == ["50", "80", "90"]


@pytest.mark.slow
def test_rebuilt_from_its_changelogs_it_fires_nothing_again(quotas: Quotas) -> None:
    """The ledger outlives the process: a restart over republished totals is silent, and knows the parts it no longer
    hears of.
    """
    quotas.send(total(500, 1), total(300, 1, part=1))
    with quotas.worker() as killed:
        before = quotas.alerts(2)
        quotas.await_committed(2)
        killed.kill()
    key, at = total(500, 1).quota_key, partition_of_key("acme", PARTITIONS)
    quotas.put(LATEST, [(key, parts_encoded({0: PartitionTotal(Decimal(100), START, 0)}), at)])  # by a worker that
    quotas.put(FIRED, [(key, fired_encoded(NOTHING), at)])  # lost the partition and did not know yet
    quotas.send(total(500, 1), total(300, 1, part=1), total(310, 2, part=1))
    with quotas.worker():
        quotas.await_committed(5)
        assert quotas.alerts() == before
        quotas.send(total(590, 3))
        assert quotas.alerts(3)[-1]["data"]["threshold_percent"] == "90"
        quotas.await_committed(6)  # an alert goes out before the state it leads to
    (state,) = quotas.states().values()
    assert (state["used"], state["over"], state["as_of"]) == ("900", False, "2026-10-01T03:00:00+00:00")


@pytest.mark.slow
def test_between_the_ledger_and_the_note_of_it(quotas: Quotas) -> None:
    """The worker's note cannot be written: the alert is on record, the worker ends, and the next one says nothing
    twice.
    """
    cluster = Cluster(quotas.kafka)
    quotas.send(total(850, 1))
    cluster.set(quotas.name(FIRED), {"max.message.bytes": "1"})
    with quotas.worker() as failing:
        code, logged = failing.ended()
    assert code == 75
    assert Halt.UNDELIVERED in logged
    recorded = ledger.history(quotas.lake)
    assert [s.alert.key["threshold_percent"] for s in recorded] == ["50", "80"]
    assert not quotas.read(FIRED)
    assert quotas.committed() == 0
    cluster.set(quotas.name(FIRED), {"max.message.bytes": str(topics.MIB)})
    with quotas.worker():
        quotas.await_committed(1)
        sent = quotas.alerts(2)
    assert [a["id"] for a in sent] == [s.statement_id for s in recorded]
    assert json.loads(quotas.read(FIRED)[-1].value() or b"") == {
        "alerts": [["50", "1000", None], ["80", "1000", None]],
        "withdrawn": [],
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no total", "another partition"])
def test_poison_halts_the_worker_and_is_never_skipped(quotas: Quotas, kind: str) -> None:
    """A message that cannot be counted: skipped, an alert would be missing and nobody would know."""
    at = partition_of_key("acme", PARTITIONS)
    good, after = total(600, 1), total(900, 3)
    poison = (
        ("x", b'{"schema": "of another"}', at)
        if kind == "no total"
        else (*messages([good])[0][1:], (at + 1) % PARTITIONS)
    )
    quotas.send(good)
    quotas.put(topics.USAGE_TOTALS, [poison])
    quotas.send(after)
    for _ in range(2):
        with quotas.worker() as worker:
            code, logged = worker.ended()
        assert code == 2
        halted = next(json.loads(line) for line in logged.splitlines() if Halt.BAD_MESSAGE in line)
        assert f"usage.totals/{poison[2]}" in halted["message"]
    if kind == "no total":
        assert {a["data"]["threshold_percent"] for a in quotas.alerts()} <= {"50"}, "what lies behind it was not read"
        assert quotas.committed() <= 1


@pytest.mark.slow
def test_a_worker_that_makes_no_progress_ends(quotas: Quotas) -> None:
    """A hang helps nobody: a topic that has gone lets the agent wait, and the process must not go on as if it
    worked.
    """
    quotas.send(total(100, 1))
    with quotas.worker("--watchdog-s", "6") as worker:
        quotas.await_committed(1)
        quotas.delete(topics.QUOTA_STATE)
        quotas.send(total(600, 2))
        code, logged = worker.ended()
    assert code == 75
    assert Halt.STALLED in logged
    quotas.create()
    with quotas.worker():
        assert quotas.alerts(1)[0]["data"]["used"] == "600"


@pytest.mark.slow
def test_alerts_reach_a_webhook_and_one_that_hangs_delays_nothing(quotas: Quotas, tmp_path: Path) -> None:
    """The command as it is run: a file of endpoints, keys in the environment, an end in time whatever a receiver
    does.
    """
    key = base64.b64encode(bytes(24)).decode()
    with receiver(200) as ops, receiver(HANG) as slow:
        file = tmp_path / "webhooks.yaml"
        file.write_text(
            f"- {{name: ops, url: '{ops.url}', secret_env: OPS_KEY, private: true}}\n"
            f"- {{name: slow, url: '{slow.url}', secret_env: OPS_KEY, private: true}}\n"
        )
        with quotas.worker("--webhooks", str(file), env={"OPS_KEY": key}, cwd=tmp_path) as worker:
            quotas.send(total(600, 1))
            slow.next()
            came = ops.next()
            assert worker.stop(15) == 0
            assert key not in worker.logged
    Webhook(key).verify(came.body, came.headers)
    (alert,) = quotas.alerts()
    assert (came.headers["webhook-id"], json.loads(came.body)) == (alert["id"], alert)
    assert {p.name for p in tmp_path.iterdir()} == {file.name, "lake", "catalog"}, "Faust makes no folders"


@pytest.mark.slow
def test_a_broker_that_crashes_and_comes_back(own_broker: Broker, tmp_path: Path) -> None:
    """The worker outlives it, or its next life goes on; what was sent meanwhile is neither lost nor told twice."""
    quotas = Quotas(KafkaConfig(bootstrap_servers=own_broker.bootstrap), tmp_path)
    quotas.create()
    totals = grown(random.Random(6), 900)
    with quotas.worker() as worker:
        quotas.send(*totals[:300])
        quotas.await_committed(100)
        quotas.send(*totals[300:600])
        own_broker.restart()
        quotas.send(*totals[600:])
        quotas.await_committed(len(totals))
        assert worker.stop() == 0
    check(quotas, totals)


def test_where_nothing_is_committed_what_was_fetched_comes_again(quotas: Quotas) -> None:
    """After a rebalance totals are read from the committed offsets: without any, from the first, not behind what was
    thrown away.
    """
    quotas.send(total(600, 1))
    settings = settings_for(quotas.kafka)
    quotas.delete(topics.QUOTA_STATE)  # no total is done with, and nothing is committed
    at = TP(settings.totals, partition_of_key("acme", PARTITIONS))

    async def gone_back() -> None:
        fetched = asyncio.Event()
        quota = QuotaWorker(settings, lambda _: fetched.set())
        starting = asyncio.ensure_future(quota.app.start())
        try:
            async with asyncio.timeout(ANSWER_S):
                await fetched.wait()
                consumer = quota.app.consumer
                assert await consumer.position(at) == 1
                consumer.stop_flow()
                await consumer.perform_seek()
                while await consumer.position(at) != 0:
                    pass
        finally:
            await asyncio.to_thread(quotas.create)
            await quota.app.stop()
            await starting

    asyncio.run(gone_back())


def test_what_was_fetched_is_kept_when_flow_resumes_after_a_rebalance() -> None:
    """Faust empties its queues a moment after it began to fetch: totals were lost in it, and one alone would be
    committed over.
    """

    async def left() -> tuple[int, int]:
        quota = QuotaWorker(
            QuotaSettings(app_id="q", brokers="x:1", totals="t", alerts="a", state="s", partitions=1), list
        )
        fetched = quota.totals.clone(is_iterator=True).queue
        changes = quota.app.tables.changelog_queue
        for queue in (fetched, changes):
            queue.put_nowait(object())
        quota.app.flow_control.resume()
        return fetched.qsize(), changes.qsize()

    assert asyncio.run(left()) == (1, 0), "changes of the tables are read anew from where recovery begins"


@pytest.mark.parametrize("topic", [topics.USAGE_TOTALS, topics.QUOTA_STATE, FIRED, LEADER])
def test_without_its_topics_it_does_not_start(kafka: str, kafka_prefix: str, topic: str, tmp_path: Path) -> None:
    """Faust starts without a changelog, and then loses a total with every crash; a topic made by a slip would be no
    better.
    """
    quotas = Quotas(KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix), tmp_path)
    quotas.create(but=topic)
    with pytest.raises((KafkaRefused, Halted), match=f"{kafka_prefix}{topic}.*`tollbook topics create`"):
        settings_for(quotas.kafka)
    assert kafka_prefix + topic not in Cluster(quotas.kafka).found([kafka_prefix + topic])


def test_topics_of_different_numbers_are_refused(kafka: str, kafka_prefix: str, tmp_path: Path) -> None:
    """A partner's ledger would lie with another worker than its totals."""
    quotas = Quotas(KafkaConfig(bootstrap_servers=kafka, prefix=kafka_prefix), tmp_path)
    quotas.create(but=LATEST)
    cluster = Cluster(quotas.kafka)
    cluster.make(
        {
            kafka_prefix + LATEST: (
                PARTITIONS + 1,
                {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"},
            )
        },
        replication=1,
    )
    quotas.described(cluster, [LATEST])
    with pytest.raises(Halted, match=f"{LATEST} has {PARTITIONS + 1} partitions") as halted:
        settings_for(quotas.kafka)
    assert halted.value.reason == Halt.BAD_TOPIC


def test_lag_is_seen_from_outside(quotas: Quotas) -> None:
    """Work that waits while none is done counts; none waiting, work of others, or a broker that does not answer do
    not.
    """
    now = [100.0]
    reader = Consumer({**quotas.kafka.consumer_options(topics.QUOTA_APP, protocol="classic"), "log_level": 0})
    lag = Lag(reader, quotas.name(topics.USAGE_TOTALS), PARTITIONS, clock=lambda: now[0])
    lag.look()
    now[0] += 60
    assert (lag.behind, lag.stalled_s) == (0, 0)
    at = partition_of_key("acme", PARTITIONS)
    quotas.send(total(1, 1), total(2, 2))
    lag.look()
    now[0] += 60
    assert (lag.behind, lag.stalled_s) == (2, 60)
    lag.mine = frozenset({(at + 1) % PARTITIONS})
    assert (lag.behind, lag.stalled_s) == (0, 0)
    lag.mine = frozenset({at})
    commit(quotas, at, 1)
    lag.look()
    now[0] += 5
    assert (lag.behind, lag.stalled_s) == (1, 5)
    commit(quotas, at, 2)
    lag.look()
    assert (lag.behind, lag.stalled_s) == (0, 0)


def commit(quotas: Quotas, partition: int, offset: int) -> None:
    group = Consumer({**quotas.kafka.consumer_options(topics.QUOTA_APP, protocol="classic"), "log_level": 0})
    group.commit(offsets=[TopicPartition(quotas.name(topics.USAGE_TOTALS), partition, offset)], asynchronous=False)
    group.close()


def test_while_a_broker_is_away_a_library_complains_once_in_ten_seconds() -> None:
    """Hundreds of equal lines a second would fill a disk and hide our own; ours all pass."""
    seldom = Seldom()

    def passes(name: str, text: str, at_s: float) -> bool:
        record = logging.LogRecord(name, logging.ERROR, "", 0, text, (), None)
        record.created = 1_000_000 + at_s
        return seldom.filter(record)

    assert passes("aiokafka", "Unable connect to node with id %s", 0)
    assert not passes("aiokafka", "Unable connect to node with id %s", 9)
    assert passes("aiokafka", "Unable to update metadata", 9)
    assert passes("aiokafka", "Unable connect to node with id %s", 10)
    assert passes("tollbook.quota", "x", 0)
    assert passes("tollbook.quota", "x", 0)


@pytest.mark.parametrize(
    ("security", "protocol", "tls", "login"),
    [
        ("PLAINTEXT", None, False, False),
        ("SSL", "SSL", True, False),
        ("SASL_PLAINTEXT", "SASL_PLAINTEXT", False, True),
        ("SASL_SSL", "SASL_SSL", True, True),
    ],
)
def test_faust_logs_in_like_every_other_client(
    tmp_path: Path, security: Security, protocol: str | None, *, tls: bool, login: bool
) -> None:
    """One set of options for all processes: Faust's client must not fall back to less than was asked for."""
    authority, _ = certificate(tmp_path, "localhost")
    kafka = KafkaConfig(
        bootstrap_servers="x:1", security=security, sasl_username="quota", sasl_password="pass-w", ca_file=authority
    )
    found = credentials(kafka)
    assert (found and found.protocol.value) == protocol
    options = credentials_to_aiokafka_auth(found)
    assert options["security_protocol"] == security
    context = options.get("ssl_context")
    assert (context is not None) is tls
    if tls:
        assert context.check_hostname
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert len(context.get_ca_certs()) == 1, "the authority that was named, and no other"
    if login:
        assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "quota")
        assert options["sasl_plain_password"] == "pass-w"
    assert "pass-w" not in repr(found)
