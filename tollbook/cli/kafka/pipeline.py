"""`tollbook load`, `ingest`, `land`: the pipeline on Kafka. Each stage is a process of its own."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from confluent_kafka import Consumer, Producer
from cyclopts import Parameter
from cyclopts.validators import Number

from aggregate.landing.known_topics import KnownTopic
from aggregate.landing.land import COMMIT_ENTRIES
from billing.catalog import loading as catalogs
from ingest.attribution.catalog_rules import max_refused_percent
from ingest.files.fingerprint import KnownFile
from ingest.files.text_digest import HEAD_BYTES
from ingest.files.watcher import FileWatcher
from ingest.kafka.worker import Route, Worker
from lake.lake import Lake
from schemas.kafka import topics
from tollbook.cli import progress
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.kafka.topics import required
from tollbook.cli.options import (
    AT_LEAST_ONE,
    CatalogOption,
    CommitEntriesOption,
    JsonOption,
    LakeOption,
    source_name,
    the_clock,
)
from tollbook.cli.signals import asked_to_stop
from tollbook.cli.terminal import complain, out, show_json, show_json_line
from tollbook.kafka import loading
from tollbook.kafka.cluster import ExistingTopic
from tollbook.kafka.loading import Loaded
from tollbook.kafka.options import GroupProtocol, KafkaConfig
from tollbook.kafka.positions import Positions
from tollbook.kafka.positions import positions as kept_positions
from tollbook.local_run import run
from tollbook.local_run.progress import Progress
from tollbook.workers import ingest as ingest_worker
from tollbook.workers import land as land_worker
from tollbook.workers import logs, loop
from tollbook.workers.land import LandTopics, LandWorker

_ABOVE_ZERO = Number(gt=0)
# Messages never time out: if one did while the next one was delivered, its partition would have a hole. The producer
# waits for an unreachable broker, and the watchdog ends a worker that waits too long. Then nothing more is sent.
_EVENTS_PRODUCER = {"delivery.timeout.ms": 0}

InstanceOption = Annotated[
    str | None,
    Parameter(
        "--instance",
        env_var="TOLLBOOK_INSTANCE",
        help="Unique name of this worker, the same after a restart. A worker that restarts in time keeps its partitions.",
    ),
]
ProtocolOption = Annotated[
    GroupProtocol,
    Parameter(
        "--group-protocol",
        env_var="TOLLBOOK_GROUP_PROTOCOL",
        help="How the group shares partitions: classic (cooperative), or consumer, where the broker sets the session timeout.",
    ),
]
SessionOption = Annotated[
    int,
    Parameter(
        "--session-timeout-ms",
        env_var="TOLLBOOK_SESSION_TIMEOUT_MS",
        validator=AT_LEAST_ONE,
        help="How long a silent worker keeps its partitions (classic only).",
    ),
]
MetricsOption = Annotated[
    str,
    Parameter(
        "--metrics",
        env_var="TOLLBOOK_METRICS",
        help="Address of /metrics and /healthz, host:port. With port 0, a free port is chosen and logged.",
    ),
]
WatchdogOption = Annotated[
    float,
    Parameter(
        "--watchdog-s",
        env_var="TOLLBOOK_WATCHDOG_S",
        validator=_ABOVE_ZERO,
        help="End the process when it makes no progress for this many seconds. A supervisor must restart it.",
    ),
]


def load(
    files: Annotated[list[str], Parameter(negative="", help="Log files (plain or compressed), folders and globs.")],
    /,
    *,
    kafka: KafkaConfig,
    format: Annotated[str, Parameter("--format", help="Log format; `tollbook formats` lists them.")],  # noqa: A002
    source: Annotated[
        str, Parameter("--source", help="Name of the gateway that wrote these logs. Part of every event's key.")
    ],
    lines: Annotated[
        int, Parameter("--lines", validator=AT_LEAST_ONE, help="Maximum number of lines in a record.")
    ] = 500,
    final: Annotated[
        bool, Parameter("--final", negative="", show_default=False, help="Send an unfinished last line as it is.")
    ] = False,
    spread: Annotated[
        bool,
        Parameter(
            "--spread",
            negative="",
            show_default=False,
            help="Distribute the lines over all partitions, for several ingest workers. Their order is not kept.",
        ),
    ] = False,
    accept_form_errors: Annotated[
        bool,
        Parameter(
            "--accept-form-errors",
            negative="",
            show_default=False,
            help="Send files even if the given format cannot read their first lines and another format can.",
        ),
    ] = False,
    positions: Annotated[
        Path | None,
        Parameter(
            "--positions",
            env_var="TOLLBOOK_POSITIONS",
            help="File that stores how far each log was sent, where the next load continues. Without it, all lines are sent again; they are "
            "recognized as duplicates unless a log below 4 KiB has grown.",
        ),
    ] = None,
    follow: Annotated[
        bool,
        Parameter(
            "--follow",
            negative="",
            show_default=False,
            help="Keep sending as the files grow and are rotated, until SIGTERM. Needs --positions.",
        ),
    ] = False,
    look_s: Annotated[
        float,
        Parameter(
            "--look-s",
            env_var="TOLLBOOK_LOOK_S",
            validator=_ABOVE_ZERO,
            help="With --follow: interval in seconds to check for new lines.",
        ),
    ] = 1.0,
    json: JsonOption = False,
) -> int:
    """Send log files to gateway.access, several lines per record. Lines that are sent twice are counted once.

    With --follow and --json, each check that found new lines prints a line with one JSON object.

    Example: tollbook load --bootstrap-servers 127.0.0.1:9092 --format kong --source edge logs/*.gz
    """
    source_name(source)
    if follow:
        _check_following(positions, final=final)
    paths = run.found_files(files)
    (access,) = required(kafka, topics.GATEWAY_ACCESS)
    # Errors only, as the command itself reports each failure in one line.
    producer = Producer({**kafka.producer_options(compression="zstd"), "log_level": 3})

    def send(
        paths: Sequence[Path], kept: Positions, known: Mapping[str, KnownFile], move: Callable[[Progress], None]
    ) -> Loaded:
        total = sum(path.stat().st_size for path in paths if path.exists())
        return loading.load(
            producer, access.name, access.partitions, paths,
            format_name=format, source=source, lines_max=lines, final=final, spread=spread, known=known, begin=kept.keep,
            accept_form_errors=accept_form_errors, others=kept.others, cache=kept.cache,
            progress=lambda done, sent: move(Progress(done, total, sent)),
        )  # fmt: skip

    def show(look: Loaded) -> None:
        if json:
            show_json_line(_loaded_row(look))
        elif look.records:
            out.print(f"{look.lines:,} lines in {look.records:,} records to {access.name}")
        for problem in look.problems:
            complain(problem)
        sys.stdout.flush()

    with kept_positions(positions, source) as kept:
        if follow:
            report = _following(files, send, kept, show, look_s)
        else:
            with progress.bar(source, quiet=json) as move:
                report = send(paths, kept, kept.known, move)
            kept.keep(report.known)
            _show_loaded(report, access.name, json=json)
    if not json:
        for file, size in report.waiting.items():
            out.print(
                f"{file} ends with an unfinished line ({size} bytes); it is sent when the line is complete, or now with --final"
            )
    _warn_of_short([] if positions else report.short)
    return REFUSED if report.problems else 0


def _warn_of_short(paths: Sequence[Path]) -> None:
    for path in paths:
        complain(
            f"{path}: sent, but a log below {HEAD_BYTES:,} bytes changes its fingerprint when it grows. If it is still written to, "
            f"load it with --positions from now on; otherwise lines without their own ids are counted twice",
            level="warning",
        )


def _check_following(positions: Path | None, *, final: bool) -> None:
    if positions is None:
        raise WrongUse(
            "--follow needs --positions; without it, a log that was short when it was first read is sent again after a restart"
        )
    if final:
        raise WrongUse(
            "--follow and --final contradict each other; --follow waits for the rest of an unfinished line, --final does not"
        )


_Send = Callable[[Sequence[Path], Positions, Mapping[str, KnownFile], Callable[[Progress], None]], Loaded]


def _following(
    files: Sequence[str], send: _Send, kept: Positions, show: Callable[[Loaded], None], look_s: float
) -> Loaded:
    """Send new lines until SIGTERM."""
    with asked_to_stop() as stop:
        return loading.follow(
            FileWatcher(lambda: run.followed_files(files)), lambda paths, known: send(paths, kept, known, lambda _: None), kept.known,
            stop=stop, look_s=look_s, keep=kept.keep, on_loaded=show,
        )  # fmt: skip


def _show_loaded(report: Loaded, topic: str, *, json: bool) -> None:
    if json:
        show_json(_loaded_row(report))
    else:
        out.print(f"{report.lines:,} lines in {report.records:,} records to {topic}")
    for problem in report.problems:
        complain(problem)


def _loaded_row(report: Loaded) -> dict[str, Any]:
    """A load as JSON."""
    return {
        "lines": report.lines, "records": report.records, "problems": report.problems, "waiting": report.waiting
    }  # fmt: skip


def ingest(
    *,
    kafka: KafkaConfig,
    catalog: CatalogOption,
    format: Annotated[  # noqa: A002
        str, Parameter("--format", env_var="TOLLBOOK_FORMAT", help="Format of records without the header `format`.")
    ] = "",
    source: Annotated[
        str, Parameter("--source", env_var="TOLLBOOK_SOURCE", help="Source of records without the header `source`.")
    ] = "",
    accept_form_errors: Annotated[
        tuple[str, ...] | None,
        Parameter(
            "--accept-form-errors",
            env_var="TOLLBOOK_ACCEPT_FORM_ERRORS",
            negative="",
            help="Source that is never paused, however many of its entries are refused for their form. Repeatable.",
        ),
    ] = None,
    instance: InstanceOption = None,
    group_protocol: ProtocolOption = "classic",
    session_timeout_ms: SessionOption = 10_000,
    metrics: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Read raw records from gateway.access; write events to usage.events and refused entries to usage.dead.

    Runs until SIGTERM.

    It is safe to kill at any time: entries that it sends again are recognized by their offsets.

    Example: tollbook ingest --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog
    """
    book = catalogs.load(catalog)
    access, events, dead = required(kafka, topics.GATEWAY_ACCESS, topics.USAGE_EVENTS, topics.USAGE_DEAD)
    log = logs.logger("ingest")
    worker = Worker(
        Consumer(
            kafka.consumer_options(
                "tollbook-ingest", protocol=group_protocol, instance=instance, session_timeout_ms=session_timeout_ms
            ),
            logger=log,
        ),
        Producer({**kafka.producer_options(linger_ms=5), **_EVENTS_PRODUCER}, logger=log),
        Route(
            access=access.name,
            events=events.name,
            dead=dead.name,
            events_partitions=events.partitions,
            topic_id=access.topic_id,
        ),
        ingest_worker.readings(book),
        defaults=(format, source),
        max_refused_percent=lambda name: 100 if name in (accept_form_errors or ()) else max_refused_percent(book, name),
        on_pause=ingest_worker.pause_logger(log),
    )
    return ingest_worker.run(worker, log, loop.WorkerOptions(metrics=metrics, watchdog_s=watchdog_s))


def land(
    *,
    kafka: KafkaConfig,
    catalog: CatalogOption,
    lake: LakeOption,
    commit_entries: CommitEntriesOption = COMMIT_ENTRIES,
    commit_s: Annotated[
        float,
        Parameter(
            "--commit-s",
            env_var="TOLLBOOK_COMMIT_S",
            validator=_ABOVE_ZERO,
            help="Maximum time between commits, in seconds.",
        ),
    ] = 1.0,
    upkeep_s: Annotated[
        float,
        Parameter(
            "--upkeep-s",
            env_var="TOLLBOOK_UPKEEP_S",
            validator=Number(gte=0),
            help="Seconds from one upkeep of the lake to the next, as by `tollbook lake compact`. 0: leave it to that command.",
        ),
    ] = land_worker.UPKEEP_EVERY_S,
    instance: InstanceOption = None,
    group_protocol: ProtocolOption = "classic",
    session_timeout_ms: SessionOption = 10_000,
    metrics: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Land usage.events in the lake exactly once, and publish usage.totals. Several workers may run.

    Runs until SIGTERM. Between commits it looks after the lake, for about two seconds in each minute.

    Example: tollbook land --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog --lake lake
    """
    book = catalogs.load(catalog)
    events, dead, totals = required(kafka, topics.USAGE_EVENTS, topics.USAGE_DEAD, topics.USAGE_TOTALS)
    log = logs.logger("land")
    consumer = Consumer(
        kafka.consumer_options(
            "tollbook-land", protocol=group_protocol, instance=instance, session_timeout_ms=session_timeout_ms
        ),
        logger=log,
    )
    worker = LandWorker(
        Lake(lake), book, LandTopics(_topic(events), _topic(dead), totals.name, totals.partitions), consumer,
        Producer(kafka.producer_options(linger_ms=5), logger=log), log, now=the_clock(None), commit_entries=commit_entries, commit_s=commit_s,
        upkeep_s=upkeep_s,
    )  # fmt: skip
    return land_worker.run(worker, log, loop.WorkerOptions(metrics=metrics, watchdog_s=watchdog_s))


def _topic(found: ExistingTopic) -> KnownTopic:
    return KnownTopic(found.name, found.topic_id, found.partitions)
