"""`tollbook serve`: events over HTTP, confirmed by Kafka. It needs the extra `http`."""

import logging
import time

from confluent_kafka import Producer

from billing.catalog import loading as catalogs
from ingest.http import api as http_api
from ingest.http.admission import FailedAttempts, MemoryBudget, RateLimiter
from ingest.http.authentication import Authenticator
from ingest.http.batching import Batcher
from ingest.http.delivery import Delivery
from schemas.kafka import topics
from tollbook.cli.kafka.http_options import HttpConfig
from tollbook.cli.kafka.pipeline import MetricsOption, WatchdogOption
from tollbook.cli.kafka.producers import ProducersOption
from tollbook.cli.kafka.topics import required
from tollbook.cli.options import CatalogOption, the_time
from tollbook.kafka.options import ClientOptions, KafkaConfig
from tollbook.workers import http_server, logs, loop, metrics

# A request waits for the broker, so it times out early and the sender retries. Requests are unordered, so the failure
# of one does not affect the others.
PRODUCER: ClientOptions = {
    "delivery.timeout.ms": 10_000,
    "request.timeout.ms": 5_000,
    "enable.gapless.guarantee": False,
}
_LINGER_MS = 2
_DEFAULTS = HttpConfig()


def serve(
    *,
    kafka: KafkaConfig,
    catalog: CatalogOption,
    producers: ProducersOption,
    http: HttpConfig = _DEFAULTS,
    metrics_address: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Accept events over HTTP (POST /api/v1/events) and write them to gateway.access. Runs until SIGTERM.

    A 2xx response means that Kafka has confirmed the events. The producers file is reloaded when it changes, or on
    SIGHUP.

    Example: tollbook serve --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog --producers examples/producers.yaml
    """  # noqa: W505  # the example is one line
    address = http.address()
    log = logs.logger("serve")
    book = catalogs.load(catalog)
    file = http_server.ProducersFile(producers, time.monotonic, log)
    (access,) = required(kafka, topics.GATEWAY_ACCESS)
    producer = Producer({**kafka.producer_options(linger_ms=_LINGER_MS), **PRODUCER}, logger=log)
    parts = http_server.Parts(
        file,
        Authenticator(file.first, http_server.fetched, time.monotonic),
        Batcher(http_server.readings(book)),
        Delivery(producer, access.name, access.partitions),
    )
    api = http_api.app()
    api.state.context = _context(parts, http, log)
    http_server.run(api, address, parts, log, loop.WorkerOptions(metrics=metrics_address, watchdog_s=watchdog_s))


def _context(parts: http_server.Parts, http: HttpConfig, log: logging.Logger) -> http_api.ApiContext:
    """The context of the application: the running components, the limits and the clocks."""
    memory = MemoryBudget(http.buffer_mib << 20)
    metrics.HTTP_HELD.set_function(lambda: memory.used)
    return http_api.ApiContext(
        authenticator=parts.authenticator,
        rate_limiter=RateLimiter(time.monotonic),
        memory=memory,
        failed_attempts=FailedAttempts(time.monotonic),
        batcher=parts.batcher,
        delivery=parts.delivery,
        now=lambda: the_time(None),
        clock=time.monotonic,
        log=log,
        on_outcome=http_server.count_outcome,
        request_s=http.request_s,
    )
