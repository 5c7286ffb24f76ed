"""`tollbook topics create` and `check`: the topics of one installation, made and compared with what exactness demands."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from schemas.kafka import topics
from schemas.kafka.topics import PARTITIONS, Topic, rules
from tollbook.cli.errors import OK, REFUSED
from tollbook.cli.options import AT_LEAST_ONE, JsonOption
from tollbook.cli.terminal import complain, sentence, show_json
from tollbook.kafka.cluster import Cluster, Found
from tollbook.kafka.errors import KafkaRefused
from tollbook.kafka.options import KafkaConfig
from tollbook.kafka.topic_checks import Difference, differences

app = App(
    name="topics",
    help="The topics on Kafka: made once before all else, and checked.\n\nExample: tollbook topics create --bootstrap-servers localhost:9092",
    help_epilogue="",
)
PartitionsOption = Annotated[
    int,
    Parameter(
        "--partitions",
        env_var="TOLLBOOK_KAFKA_PARTITIONS",
        validator=AT_LEAST_ONE,
        help="Partitions of each topic, fixed for good: it bounds how many workers share the work.",
    ),
]
ReplicationOption = Annotated[
    int,
    Parameter(
        "--replication",
        env_var="TOLLBOOK_KAFKA_REPLICATION",
        validator=AT_LEAST_ONE,
        help="Copies of each partition, on as many brokers. With one, a lost disk loses what was not landed.",
    ),
]
REPLICATION = 3


@app.command(help_epilogue="")
def create(
    *,
    kafka: KafkaConfig,
    partitions: PartitionsOption = PARTITIONS,
    replication: ReplicationOption = REPLICATION,
) -> int:
    """Make the topics that are missing, and set right what can be set without harm. Safe to repeat.

    Where exactness is in danger (another number of partitions, a compacted log, foreign timestamps) it changes nothing.

    Example: tollbook topics create --bootstrap-servers localhost:9092 --replication 1
    """
    cluster = Cluster(kafka)
    demanded = topics.table(kafka.prefix, partitions)
    before = compared(cluster, demanded, replication)
    if any(d.is_grave for d in before):
        return _told([d for d in before if d.is_grave], "nothing was changed")
    missing = {d.topic for d in before if d.missing}
    new = {
        t.name: (t.partitions, {r.setting: r.value for r in rules(t, replication)})
        for t in demanded
        if t.name in missing
    }
    cluster.make(new, replication=replication)
    for name in new:
        sentence(f"{name}: made")
    for difference in before:
        if difference.setting is not None:
            assert difference.topic is not None
            cluster.set(difference.topic, dict([difference.setting]))
            sentence(f"{difference.topic}: {difference.setting[0]} set to {difference.setting[1]}")
    left = cluster.settled(lambda: compared(cluster, demanded, replication))
    if not left:
        sentence(f"{len(demanded)} topics are as they must be")
    return _told(left, "another process changes them at the same time: repeat the command") if left else OK


@app.command(help_epilogue="")
def check(
    *,
    kafka: KafkaConfig,
    partitions: PartitionsOption = PARTITIONS,
    replication: ReplicationOption = REPLICATION,
    json: JsonOption = False,
) -> int:
    """Compare the topics with what exactness demands, and list every difference with its remedy. Changes nothing.

    Example: tollbook topics check --bootstrap-servers localhost:9092 --replication 1
    """
    demanded = topics.table(kafka.prefix, partitions)
    found = compared(Cluster(kafka), demanded, replication)
    if json:
        show_json([{"topic": d.topic, "difference": d.what, "remedy": d.remedy, "grave": d.is_grave} for d in found])
        return REFUSED if found else OK
    if not found:
        sentence(f"{len(demanded)} topics are as they must be")
    return _told(found) if found else OK


def compared(cluster: Cluster, demanded: Sequence[Topic], replication: int) -> list[Difference]:
    """All differences between the cluster and what is demanded of it."""
    found = cluster.found([t.name for t in demanded])
    return differences(demanded, found, replication=replication, makes_topics_itself=cluster.makes_topics_itself())


def required(config: KafkaConfig, *names: str) -> list[Found]:
    """Topics that a worker is about to use, without their prefix. Raises unless all are there and fit for exact counting.

    The number of partitions and of copies is not judged here: the lake knows the one, `tollbook topics check` the other.
    """
    demanded = {t.name: t for t in topics.table(config.prefix) if t.name.removeprefix(config.prefix) in names}
    assert len(demanded) == len(names), names
    found = Cluster(config).found(list(demanded))
    asked = [t._replace(partitions=found[t.name].partitions) if t.name in found else t for t in demanded.values()]
    bad = [d for d in differences(asked, found, replication=1, makes_topics_itself=None) if d.missing or d.is_grave]
    if bad:
        raise KafkaRefused("; ".join(str(d) for d in bad))
    return [found[config.prefix + name] for name in names]


def _told(found: Sequence[Difference], then: str | None = None) -> int:
    for difference in found:
        complain(str(difference))
    if then is not None:
        complain(then)
    return REFUSED
