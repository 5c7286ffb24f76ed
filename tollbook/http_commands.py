"""`tollbook serve`: events over HTTP, confirmed by Kafka. `serve` needs the extra `http`."""

import logging
import time

from confluent_kafka import Producer

from billing import catalog as catalogs
from ingest import http_api
from ingest.admission import Attempts, Meter, Room
from ingest.batching import Batcher
from ingest.callers import Callers
from ingest.delivery import Delivery
from schemas import topics
from tollbook import http_server, logs, metrics, worker_loop
from tollbook.edge import CatalogOption, the_time
from tollbook.http_options import HttpConfig
from tollbook.kafka_commands import MetricsOption, WatchdogOption
from tollbook.kafka_options import KafkaConfig, Options
from tollbook.producers_commands import ProducersOption
from tollbook.topics import required

# A request waits for the broker, so it is given up early, and the sender sends it again. Requests are in no order, so that one
# that is given up, or refused, leaves the others alone.
PRODUCER: Options = {"delivery.timeout.ms": 10_000, "request.timeout.ms": 5_000, "enable.gapless.guarantee": False}
_LINGER_MS = 2
_DOOR = HttpConfig()


def serve(
    *,
    kafka: KafkaConfig,
    catalog: CatalogOption,
    producers: ProducersOption,
    http: HttpConfig = _DOOR,
    metrics_address: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Take events over HTTP, POST /api/v1/events, and write them to gateway.access. Runs until SIGTERM.

    An answer of 2xx means that Kafka has confirmed the events. The producers file is read again when it changes, or on SIGHUP.

    Example: tollbook serve --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog --producers examples/producers.yaml
    """  # fmt: skip
    address = http.address()
    log = logs.logger("serve")
    book = catalogs.load(catalog)
    file = http_server.ProducersFile(producers, time.monotonic, log)
    (access,) = required(kafka, topics.GATEWAY_ACCESS)
    producer = Producer({**kafka.producer_options(linger_ms=_LINGER_MS), **PRODUCER}, logger=log)
    parts = http_server.Parts(
        file,
        Callers(file.first, http_server.fetched, time.monotonic),
        Batcher(http_server.readings(book)),
        Delivery(producer, access.name, access.partitions),
    )
    api = http_api.app()
    api.state.edge = _edge(parts, http, log)
    http_server.run(api, address, parts, log, worker_loop.Options(metrics=metrics_address, watchdog_s=watchdog_s))


def _edge(parts: http_server.Parts, http: HttpConfig, log: logging.Logger) -> http_api.Edge:
    """What the application works with: the running parts, its bounds and the clocks."""
    room = Room(http.buffer_mib << 20)
    metrics.HTTP_HELD.set_function(lambda: room.used)
    return http_api.Edge(
        callers=parts.callers,
        meter=Meter(time.monotonic),
        room=room,
        attempts=Attempts(time.monotonic),
        batcher=parts.batcher,
        delivery=parts.delivery,
        now=lambda: the_time(None),
        clock=time.monotonic,
        log=log,
        tell=http_server.told,
        request_s=http.request_s,
    )
