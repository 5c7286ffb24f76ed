"""`tollbook topics create` and `check`: create the topics of an installation, and check their settings."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from cyclopts import App, Parameter

from schemas.kafka import topics
from schemas.kafka.topics import PARTITIONS, Topic, required_settings
from tollbook.cli.errors import OK, REFUSED
from tollbook.cli.options import AT_LEAST_ONE, JsonOption
from tollbook.cli.terminal import complain, sentence, show_json
from tollbook.kafka.cluster import Cluster, ExistingTopic
from tollbook.kafka.errors import KafkaRefused, KafkaUnreachable
from tollbook.kafka.options import KafkaConfig
from tollbook.kafka.topic_checks import Difference, differences

app = App(
    name="topics",
    help="The Kafka topics: create them before any worker runs, and check them.\n\nExample: tollbook topics create --bootstrap-servers localhost:9092",
    help_epilogue="",
)
PartitionsOption = Annotated[
    int,
    Parameter(
        "--partitions",
        env_var="TOLLBOOK_KAFKA_PARTITIONS",
        validator=AT_LEAST_ONE,
        help="Partitions of each topic, which cannot be changed later. It limits the number of workers.",
    ),
]
ReplicationOption = Annotated[
    int,
    Parameter(
        "--replication",
        env_var="TOLLBOOK_KAFKA_REPLICATION",
        validator=AT_LEAST_ONE,
        help="Replicas of each partition, each on its own broker. With one replica, a lost disk loses what was not landed.",
    ),
]
REPLICATION = 3
_SHOWN = 5


@app.command(help_epilogue="")
def create(
    *,
    kafka: KafkaConfig,
    partitions: PartitionsOption = PARTITIONS,
    replication: ReplicationOption = REPLICATION,
) -> int:
    """Create missing topics, and correct settings where that is safe. Safe to repeat.

    If exact counting is at risk (another number of partitions, a compacted log, producer timestamps), it changes
    nothing.

    Example: tollbook topics create --bootstrap-servers localhost:9092 --replication 1
    """
    cluster = Cluster(kafka)
    demanded = topics.table(kafka.prefix, partitions)
    before = compared(cluster, demanded, replication)
    if any(d.is_grave for d in before):
        return _complain_of([d for d in before if d.is_grave], "nothing was changed")
    missing = {d.topic for d in before if d.missing}
    new = {
        t.name: (t.partitions, {r.setting: r.value for r in required_settings(t, replication)})
        for t in demanded
        if t.name in missing
    }
    cluster.make(new, replication=replication)
    for name in new:
        sentence(f"{name}: created")
    for difference in before:
        if difference.setting is not None:
            assert difference.topic is not None
            cluster.set(difference.topic, dict([difference.setting]))
            sentence(f"{difference.topic}: {difference.setting[0]} set to {difference.setting[1]}")
    left = cluster.settled(lambda: compared(cluster, demanded, replication))
    if not left:
        wait_for_leaders(cluster, {t.name: t.partitions for t in cluster.found([t.name for t in demanded]).values()})
        sentence(f"{len(demanded)} topics have the required settings")
    return _complain_of(left, "another process is changing them at the same time; repeat the command") if left else OK


@app.command(help_epilogue="")
def check(
    *,
    kafka: KafkaConfig,
    partitions: PartitionsOption = PARTITIONS,
    replication: ReplicationOption = REPLICATION,
    json: JsonOption = False,
) -> int:
    """Compare the topics with the required settings, and list every difference with its remedy. Changes nothing.

    Example: tollbook topics check --bootstrap-servers localhost:9092 --replication 1
    """
    demanded = topics.table(kafka.prefix, partitions)
    found = compared(Cluster(kafka), demanded, replication)
    if json:
        show_json([{"topic": d.topic, "difference": d.what, "remedy": d.remedy, "grave": d.is_grave} for d in found])
        return REFUSED if found else OK
    if not found:
        sentence(f"{len(demanded)} topics have the required settings")
    return _complain_of(found) if found else OK


def compared(cluster: Cluster, demanded: Sequence[Topic], replication: int) -> list[Difference]:
    """All differences between the topics of the cluster and the required ones."""
    found = cluster.found([t.name for t in demanded])
    return differences(demanded, found, replication=replication, makes_topics_itself=cluster.makes_topics_itself())


def required(config: KafkaConfig, *names: str) -> list[ExistingTopic]:
    """The topics that a worker uses, by their names without prefix.

    Raises KafkaRefused unless all exist with safe settings.

    The numbers of partitions and replicas are not checked here: the lake checks the former, `tollbook topics check` the
    latter.
    """
    demanded = {t.name: t for t in topics.table(config.prefix) if t.name.removeprefix(config.prefix) in names}
    assert len(demanded) == len(names), names
    cluster = Cluster(config)
    found = cluster.found(list(demanded))
    expected = [t._replace(partitions=found[t.name].partitions) if t.name in found else t for t in demanded.values()]
    bad = [d for d in differences(expected, found, replication=1, makes_topics_itself=None) if d.missing or d.is_grave]
    if bad:
        raise KafkaRefused("; ".join(str(d) for d in bad))
    wait_for_leaders(cluster, {t.name: t.partitions for t in found.values()})
    return [found[config.prefix + name] for name in names]


def wait_for_leaders(cluster: Cluster, partitions: Mapping[str, int]) -> None:
    """Raises KafkaUnreachable if a partition has no leader after the timeout of the cluster."""
    if left := cluster.settled(lambda: cluster.leaderless(partitions)):
        raise KafkaUnreachable(
            f"{', '.join(left[:_SHOWN])}: no broker leads {'it' if len(left) == 1 else 'them'} yet; repeat the command"
        )


def _complain_of(found: Sequence[Difference], then: str | None = None) -> int:
    for difference in found:
        complain(str(difference))
    if then is not None:
        complain(then)
    return REFUSED
