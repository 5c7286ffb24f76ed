"""`tollbook quota`: alerts when a quota is reached. Running it loads Faust, for which other commands do not wait."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from confluent_kafka import Producer
from cyclopts import Parameter

from aggregate.sinks.file import sinks
from aggregate.sinks.sink import BadSink
from billing.catalog import loading as catalogs
from lake.lake import Lake
from schemas.halts import Halt, Halted
from schemas.kafka import topics
from tollbook.cli.alerts.metrics import PartnersOption
from tollbook.cli.errors import WrongUse
from tollbook.cli.kafka.pipeline import InstanceOption, MetricsOption, SessionOption, WatchdogOption
from tollbook.cli.kafka.topics import required
from tollbook.cli.options import CatalogOption, LakeOption, the_clock
from tollbook.deciding.publisher import StatePublisher
from tollbook.kafka.options import KafkaConfig
from tollbook.partner_figures import TOP
from tollbook.workers import logs, loop

if TYPE_CHECKING:
    from aggregate.quota.app import QuotaSettings


def quota(
    *,
    kafka: KafkaConfig,
    catalog: CatalogOption,
    lake: LakeOption,
    webhooks: Annotated[
        Path | None,
        Parameter(
            "--webhooks",
            env_var="TOLLBOOK_WEBHOOKS",
            help="YAML file of the sinks that alerts are sent to: webhooks, Alertmanager, Slack, PagerDuty, e-mail.",
        ),
    ] = None,
    instance: InstanceOption = None,
    session_timeout_ms: SessionOption = 10_000,
    metrics: MetricsOption = "127.0.0.1:0",
    metrics_partners: PartnersOption = TOP,
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Watch usage.totals, alert when a quota is reached, and publish which quotas are exceeded. Runs until SIGTERM.

    Alerts are recorded in the lake, and sent from there. It is safe to kill at any time, and no alert is sent twice.
    One of several workers sends them, and watches the lake for alerts of all other kinds.

    Example: tollbook quota --bootstrap-servers 127.0.0.1:9092 --catalog catalog --lake lake --webhooks webhooks.yaml
    """
    from tollbook.workers.quota import run_quota  # noqa: PLC0415  # Faust

    try:
        receivers = sinks(webhooks, os.environ) if webhooks else []
    except BadSink as exc:
        raise WrongUse(f"webhooks: {exc}") from exc
    options = loop.WorkerOptions(metrics=metrics, watchdog_s=watchdog_s)
    settings = settings_for(kafka, instance=instance, session_timeout_s=session_timeout_ms / 1000)
    place, book = Lake(lake), catalogs.load(catalog)
    clock = the_clock(None)

    def states() -> StatePublisher:
        producer = Producer(kafka.producer_options(linger_ms=5), logger=logging.getLogger("kafka"))
        log = logs.logger("quota")
        return StatePublisher(place, catalog, producer, settings.state, settings.partitions, clock=clock, log=log)

    return run_quota(
        kafka, settings, place, book, receivers, options, states=states, clock=clock, metrics_partners=metrics_partners
    )


def settings_for(kafka: KafkaConfig, *, instance: str | None = None, session_timeout_s: float = 10) -> "QuotaSettings":
    """The settings of the worker.

    Raises KafkaRefused or Halted unless all its topics exist with the required settings.
    """
    from aggregate.quota.app import QuotaSettings, changelogs  # noqa: PLC0415  # Faust
    from tollbook.workers.quota import credentials  # noqa: PLC0415

    app_id = topics.quota_app(kafka.prefix)
    names = [topics.USAGE_TOTALS, topics.USAGE_ALERTS, topics.QUOTA_STATE, *changelogs(topics.QUOTA_APP)]
    found = required(kafka, *names)
    totals, alerts, state, *faust_topics, _ = found
    for table in (state, *faust_topics):
        if table.partitions != totals.partitions:
            raise Halted(
                Halt.BAD_TOPIC,
                f"{table.name} has {table.partitions} partitions, but {totals.name} has {totals.partitions}, and the numbers must be "
                f"equal; `tollbook topics check` shows what to do",
            )
    return QuotaSettings(
        app_id=app_id,
        brokers=kafka.bootstrap_servers,
        totals=totals.name,
        alerts=alerts.name,
        state=state.name,
        partitions=totals.partitions,
        credentials=credentials(kafka),
        instance=instance and kafka.prefix + instance,
        session_timeout_s=session_timeout_s,
    )
