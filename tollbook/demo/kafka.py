"""The demo on Kafka: the month's logs go through topics and worker processes into the same kind of lake.

The topics have a unique prefix and are deleted at the end, with the groups. The workers are started like in production:
one ingest and two land workers. Their logs are stored next to the lake.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from lake.errors import LakeError
from lake.lake import Lake
from schemas.halts import Halt, Halted
from schemas.kafka import topics
from schemas.tables import EVENTS
from tollbook.cli.terminal import complain
from tollbook.demo.sample_logs import DemoFile
from tollbook.kafka import loading
from tollbook.kafka.cluster import Cluster
from tollbook.kafka.options import KafkaConfig
from tollbook.local_run.progress import Progress

PARTITIONS = 4  # the month is small; more partitions would only make more small commits
LINES = 500
_LAND_WORKERS = 2
_LOOK_S = 0.3
_END_S = 20  # SIGTERM ends a worker within 15
_ANSWER_S = 30


def land(
    servers: str,
    lake: Lake,
    catalog: Path,
    files: Sequence[DemoFile],
    *,
    worker_logs: Path,
    progress: Callable[[Progress], None],
) -> int:
    """Send the files through Kafka into the lake. Returns the number of lines. Raises Halted if a worker ends early."""
    kafka = KafkaConfig(bootstrap_servers=servers, prefix=f"demo-{secrets.token_hex(4)}-")
    worker_logs.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(_topics(kafka))
        crew = stack.enter_context(_crew(kafka, lake, catalog, worker_logs))
        _await(
            lambda: all(b'"assigned ' in (worker_logs / f"{n}.log").read_bytes() for n in crew if n != "ingest"),
            crew,
            worker_logs,
        )
        lines = _load(kafka, files, progress)
        progress(Progress(1, 1, lines))
        _await(lambda: _is_ingested(kafka), crew, worker_logs)
        _await(lambda: _is_landed(kafka, lake), crew, worker_logs)
    return lines


@contextmanager
def _topics(kafka: KafkaConfig) -> Iterator[None]:
    """Create the topics. They are deleted at the end, with the groups."""
    new = topics.table(kafka.prefix, PARTITIONS)
    settings = {t.name: (t.partitions, {r.setting: r.value for r in topics.required_settings(t, 1)}) for t in new}
    Cluster(kafka).make(settings, replication=1)
    try:
        yield
    finally:
        admin = AdminClient({**kafka.client_options(), "log_level": 0})
        groups = [kafka.prefix + name for name in ("tollbook-ingest", "tollbook-land")]
        for name, done in {**admin.delete_topics(list(settings)), **admin.delete_consumer_groups(groups)}.items():
            try:
                done.result(_ANSWER_S)
            except (KafkaException, TimeoutError) as exc:
                complain(f"{name} of the demonstration is left on the broker: {exc or 'no answer in time'}")


@contextmanager
def _crew(kafka: KafkaConfig, lake: Lake, catalog: Path, logs: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The workers, by name; they are ended, and their ends awaited, before the topics go."""
    where = ("--bootstrap-servers", kafka.bootstrap_servers, "--prefix", kafka.prefix, "--catalog", str(catalog))
    # Without --instance, so that they leave their groups at their end. Nothing that happens to be set for other workers
    # reaches these.
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
    words = {"ingest": ["ingest"]} | {f"land-{n}": ["land", "--lake", str(lake)] for n in range(1, _LAND_WORKERS + 1)}
    crew: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in words.items():
            with (logs / f"{name}.log").open("wb") as log:
                crew[name] = subprocess.Popen(  # noqa: S603  # our own command
                    [sys.executable, "-m", "tollbook", *arguments, *where],
                    env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
        yield crew
    finally:
        for worker in crew.values():
            worker.terminate()
        for name, worker in crew.items():
            try:
                code = worker.wait(_END_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                code = worker.wait()
            if code:
                complain(f"{name} ended with {code}; its log is {logs / name}.log")


def _load(kafka: KafkaConfig, files: Sequence[DemoFile], progress: Callable[[Progress], None]) -> int:
    producer = Producer({**kafka.producer_options(compression="zstd"), "log_level": 0})
    total = sum(file.path.stat().st_size for file in files)
    lines = done = 0
    for file in files:
        loaded = loading.load(
            producer, kafka.prefix + topics.GATEWAY_ACCESS, PARTITIONS, [file.path],
            format_name=file.format, source=file.source, lines_max=LINES,
            progress=lambda read, sent, done=done, lines=lines: progress(Progress(done + read, total, lines + sent)),  # type: ignore[misc]
        )  # fmt: skip
        for problem in loaded.problems:
            complain(problem)
        lines += loaded.lines
        done += file.path.stat().st_size
    return lines


def _await(done: Callable[[], bool], crew: dict[str, subprocess.Popen[bytes]], logs: Path) -> None:
    while not done():
        for name, worker in crew.items():
            if worker.poll() is not None:
                raise Halted(Halt.STALLED, f"{name} ended too early; repeat the command, or see {logs / name}.log")
        time.sleep(_LOOK_S)


def _is_ingested(kafka: KafkaConfig) -> bool:
    """Whether ingest has committed the offsets of everything loaded, which it does only after delivery."""
    with _consumer(kafka, "tollbook-ingest") as consumer:
        places = [TopicPartition(kafka.prefix + topics.GATEWAY_ACCESS, p) for p in range(PARTITIONS)]
        committed = consumer.committed(places, timeout=_ANSWER_S)
        return all(max(at.offset, 0) == _end(consumer, at) for at in committed)


def _is_landed(kafka: KafkaConfig, lake: Lake) -> bool:
    """Whether the lake has every message that ingest sent."""
    try:
        table = lake.open(EVENTS)
    except LakeError:
        return False  # no worker has created it yet
    places = [TopicPartition(kafka.prefix + topics.USAGE_EVENTS, p) for p in range(PARTITIONS)]
    with _consumer(kafka, "tollbook-demo") as consumer:
        return all(
            (table.transaction_version(f"land/{at.topic}/{at.partition}") or 0) == _end(consumer, at)
            for at in [*places, TopicPartition(kafka.prefix + topics.USAGE_DEAD, 0)]
        )


def _end(consumer: Consumer, at: TopicPartition) -> int:
    _, high = consumer.get_watermark_offsets(at, timeout=_ANSWER_S)
    return high


@contextmanager
def _consumer(kafka: KafkaConfig, group: str) -> Iterator[Consumer]:
    consumer = Consumer({**kafka.consumer_options(group, protocol="classic"), "log_level": 0})
    try:
        yield consumer
    finally:
        consumer.close()
