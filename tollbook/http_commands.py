"""`tollbook serve`: events over HTTP, confirmed by Kafka. `serve` needs the extra `http`."""

import time
from pathlib import Path
from typing import Annotated

from confluent_kafka import Producer
from cyclopts import Parameter
from cyclopts.validators import Number

from billing import catalog as catalogs
from ingest import http_api
from ingest.admission import Attempts, Meter, Room
from ingest.batching import Batcher
from ingest.callers import Callers
from ingest.delivery import Delivery
from schemas import topics
from tollbook import http_server, logs, metrics, worker_loop
from tollbook.edge import CatalogOption, WrongUse, the_time
from tollbook.kafka_commands import MetricsOption, WatchdogOption
from tollbook.kafka_options import KafkaConfig, Options
from tollbook.producers_commands import ProducersOption
from tollbook.topics import required

# A request waits for the broker, so it is given up early, and the sender sends it again. Requests are in no order, so that one
# that is given up, or refused, leaves the others alone.
PRODUCER: Options = {"delivery.timeout.ms": 10_000, "request.timeout.ms": 5_000, "enable.gapless.guarantee": False}
_LINGER_MS = 2


def serve(
    *,
    kafka: KafkaConfig,
    catalog: CatalogOption,
    producers: ProducersOption,
    listen: Annotated[
        str,
        Parameter(
            "--listen", env_var="TOLLBOOK_LISTEN", help="Address to listen on, host:port; port 0 takes any and logs it."
        ),
    ] = "127.0.0.1:8080",
    certificate: Annotated[
        Path | None,
        Parameter(
            "--certificate",
            env_var="TOLLBOOK_CERTIFICATE",
            help="Certificate chain, PEM: then TLS is spoken. Else put a proxy in front that does.",
        ),
    ] = None,
    certificate_key: Annotated[
        Path | None,
        Parameter("--certificate-key", env_var="TOLLBOOK_CERTIFICATE_KEY", help="Key of the certificate, PEM."),
    ] = None,
    trusted_proxies: Annotated[
        str,
        Parameter(
            "--trusted-proxies",
            env_var="TOLLBOOK_TRUSTED_PROXIES",
            show_default=False,
            help="Addresses or networks of proxies, with commas between, whose X-Forwarded-For is believed.",
        ),
    ] = "",
    buffer_mib: Annotated[
        int,
        Parameter(
            "--buffer-mib",
            env_var="TOLLBOOK_BUFFER_MIB",
            validator=Number(gte=64),
            help="Memory for requests that are read, decoded or sent; beyond it the answer is 503. One producer may have a quarter.",
        ),
    ] = 256,
    request_s: Annotated[
        float,
        Parameter(
            "--request-s",
            env_var="TOLLBOOK_REQUEST_S",
            validator=Number(gt=0),
            help="So long the head of a request may take to come, and so long its body.",
        ),
    ] = 30.0,
    metrics_address: MetricsOption = "127.0.0.1:0",
    watchdog_s: WatchdogOption = 60.0,
) -> int:
    """Take events over HTTP, POST /api/v1/events, and write them to gateway.access. Runs until SIGTERM.

    An answer of 2xx means that Kafka has confirmed the events. The producers file is read again when it changes, or on SIGHUP.

    Example: tollbook serve --bootstrap-servers 127.0.0.1:9092 --catalog examples/catalog --producers examples/producers.yaml
    """  # fmt: skip
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise WrongUse(f"--listen {listen!r} is no address; write host:port, such as 127.0.0.1:8080")
    if (certificate is None) != (certificate_key is None):
        raise WrongUse("--certificate and --certificate-key belong together; give both, or neither")
    log = logs.logger("serve")
    book = catalogs.load(catalog)
    file = http_server.ProducersFile(producers, time.monotonic, log)
    (access,) = required(kafka, topics.GATEWAY_ACCESS)
    address = http_server.Address(
        host.strip("[]") or "127.0.0.1", int(port), certificate, certificate_key,
        tuple(p.strip() for p in trusted_proxies.split(",") if p.strip()), request_s,
    )  # fmt: skip
    callers = Callers(file.first, http_server.fetched, time.monotonic)
    producer = Producer({**kafka.producer_options(linger_ms=_LINGER_MS), **PRODUCER}, logger=log)
    delivery = Delivery(producer, access.name, access.partitions)
    batcher = Batcher(http_server.readings(book))
    room = Room(buffer_mib << 20)
    metrics.HTTP_HELD.set_function(lambda: room.used)
    api = http_api.app()
    api.state.edge = http_api.Edge(
        callers=callers,
        meter=Meter(time.monotonic),
        room=room,
        attempts=Attempts(time.monotonic),
        batcher=batcher,
        delivery=delivery,
        now=lambda: the_time(None),
        clock=time.monotonic,
        log=log,
        tell=http_server.told,
        request_s=request_s,
    )
    parts = http_server.Parts(file, callers, batcher, delivery)
    http_server.run(api, address, parts, log, worker_loop.Options(metrics=metrics_address, watchdog_s=watchdog_s))
