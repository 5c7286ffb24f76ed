"""The process of `tollbook serve`: the HTTP server on its own thread, watched like every worker.

It bounds connections where the application cannot: heads that do not arrive, and bodies that end too early.
"""

import asyncio
import logging
import os
import resource
import secrets
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingest.attribution.catalog_rules import attribution, limits_us, source_rules
from ingest.decode.pipeline import Decoder
from ingest.http import responses
from ingest.http.admission import ConnectionLimits, Overloaded, RateLimited, logged_network
from ingest.http.api import RequestOutcome
from ingest.http.authentication import Authenticator
from ingest.http.batching import Batcher
from ingest.http.delivery import Delivery
from ingest.http.producers import BadProducers, Issuer, Producers, read
from ingest.http.responses import ApiProblem, Code
from ingest.http.tokens import FetchFailed
from ingest.kafka.records import SourceDecoder
from schemas.catalog.records import Catalog
from tollbook.workers import loop, metrics

HEAD_BYTES = 32 << 10
CONNECTIONS_MAX, CONNECTIONS_OF_ONE_MAX = 2000, 256
LINGER_S = 2.0  # how long a refused connection stays open, so that the client can read the response before a reset
_FILES = CONNECTIONS_MAX + 1048  # besides connections: Kafka, DuckDB, certificates, refused connections
_LOG_INTERVAL_S = 60.0
KEEP_ALIVE_S = 75
JWKS_BYTES_MAX, JWKS_S = 64 << 10, 5.0
RELOAD_S = 5.0
_TICK_S = 0.2


class Address(NamedTuple):
    """The address of the server, and the limits of its connections."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For is trusted
    head_s: float = 30.0
    of_one_max: int = CONNECTIONS_OF_ONE_MAX  # connections of one address


class Patient(H11Protocol):
    """A connection with a timeout of `head_s` for each head, and a 400 response to a truncated body.

    A connection beyond the limits, of its address or in total, gets a 503 response at once and never reaches the
    application.
    """

    head_s = 30.0
    crowd: ConnectionLimits
    turned_away: Callable[[str], None]  # receives the address
    _late: asyncio.TimerHandle | None = None
    _address = ""
    _is_in = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Enter the limits, and wait for a head."""
        # asyncio does this only for sockets that name their protocol. Without it, an answer of two writes waits 40 ms.
        if (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        try:
            self.crowd.enter(self._address)
        except (RateLimited, Overloaded) as exc:
            self._turn_away(transport, "of this address" if isinstance(exc, RateLimited) else "at the moment")
            return
        self._is_in = True
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the limits."""
        self._stop_waiting()
        if self._is_in:
            self.crowd.leave(self._address)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait until a head is complete. From then on, the timeouts of the application apply."""
        if not self._is_in:
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._late is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next head. Its timeout begins with its first byte."""
        super().on_response_complete()
        self._stop_waiting()

    def eof_received(self) -> None:
        """The client sends no more. If a body is incomplete, the parser reports it."""
        if self._is_in and self.cycle is not None and not self.cycle.response_complete and self.cycle.more_body:
            self.conn.receive_data(b"")
            self.handle_events()

    def _turn_away(self, transport: asyncio.Transport, whose: str) -> None:
        """Send the response, and keep reading for a while: closing at once would reset what the client has not read."""
        self.transport = transport
        transport.write(_busy(f"too many connections {whose}"))
        if transport.can_write_eof():
            transport.write_eof()
        self._late = self.loop.call_later(LINGER_S, self._close)
        self.turned_away(self._address)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.head_s, self._close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        self.transport.close()


def _busy(detail: str) -> bytes:
    """The bytes of a 503 response."""
    response = responses.of_problem(ApiProblem(Code.BUSY, detail, retry_after_s=1, headers={"Connection": "close"}))
    response.headers["X-Request-Id"] = secrets.token_hex(8)
    head = b"".join(b"%b: %b\r\n" % pair for pair in response.raw_headers)
    return b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"\r\n" + bytes(response.body)


class HttpServer:
    """The application, served on an address by its own thread."""

    def __init__(self, api: ASGIApp, address: Address, log: logging.Logger) -> None:
        """Start to listen. Raises OSError if that fails."""
        self._log = log
        self._logged_s: float | None = None
        attributes = {
            "head_s": address.head_s,
            "crowd": ConnectionLimits(CONNECTIONS_MAX, address.of_one_max, address.proxies),
            "turned_away": staticmethod(self._turned_away),
        }
        self._socket = socket.create_server((address.host, address.port), family=_family(address.host), backlog=2048)
        config = uvicorn.Config(
            api, http=type("Patient", (Patient,), attributes), ws="none", lifespan="off", loop="asyncio", log_config=None, access_log=False,
            server_header=False, proxy_headers=bool(address.proxies), forwarded_allow_ips=list(address.proxies),
            timeout_keep_alive=KEEP_ALIVE_S, h11_max_incomplete_event_size=HEAD_BYTES,
            ssl_certfile=address.certificate, ssl_keyfile=address.key,
        )  # fmt: skip
        config.load()  # raises here, not in a thread, if the certificate is unreadable
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(config)
        self._beat = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http", daemon=True)
        self._thread.start()

    def await_beat(self) -> None:
        """Return after the next turn of the event loop; never while it hangs. Raises RuntimeError if it has ended."""
        self._beat.clear()
        while not self._beat.wait(_TICK_S):
            if not self._thread.is_alive():
                raise RuntimeError("the HTTP thread has ended")

    def close(self, timeout_s: float) -> None:
        """Finish the current requests, and accept no more."""
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout_s) - 1)
        self._server.should_exit = True
        self._thread.join(timeout_s)

    def _turned_away(self, address: str) -> None:
        """Count a refused connection, and log at most one line per _LOG_INTERVAL_S."""
        metrics.HTTP_REQUESTS.labels(503).inc()
        now = asyncio.get_running_loop().time()
        if self._logged_s is None or now - self._logged_s >= _LOG_INTERVAL_S:
            self._logged_s = now
            fields = {"security": True, "code": Code.BUSY, "network": logged_network(address)}
            self._log.warning("too many connections", extra={"fields": fields})

    async def _serve(self) -> None:
        beating = asyncio.create_task(self._beats())
        await self._server.serve([self._socket])
        beating.cancel()

    async def _beats(self) -> None:
        while True:
            self._beat.set()
            await asyncio.sleep(_TICK_S)


class ProducersFile:
    """The producers file, which is reloaded when it changes or at SIGHUP."""

    def __init__(self, path: Path, clock: Callable[[], float], log: logging.Logger) -> None:
        """Raises BadProducers, OSError."""
        self._path = path
        self._clock = clock
        self._log = log
        self._seen = self._mark()
        self._looked_s = clock()
        self._asked = threading.Event()
        self.first = read(path)
        self.problem: str | None = None

    def ask(self) -> None:
        """Reload the file at the next check, whether or not it has changed."""
        self._asked.set()

    def changed(self) -> Producers | None:
        """The new producers if the file was reloaded.

        An invalid file changes nothing, and is a problem until it is fixed.
        """
        asked = self._asked.is_set()
        if not asked and self._clock() - self._looked_s < RELOAD_S:
            return None
        self._asked.clear()
        self._looked_s = self._clock()
        try:
            mark = self._mark()
            if mark == self._seen and not asked:
                return None
            self._seen = mark
            producers = read(self._path)
        except (BadProducers, OSError) as exc:
            self.problem = f"the producers file cannot be used; its previous content stays in effect: {exc}"
            self._log.error(self.problem, extra={"fields": {"reason": "PRODUCERS"}})
            return None
        self.problem = None
        return producers

    def _mark(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


def readings(catalog: Catalog) -> Callable[[str, str], SourceDecoder]:
    """The decoder of a format and source.

    Sources with the same rules share a decoder, so their requests are batched together.
    """
    owners = attribution(catalog)
    known: dict[tuple[object, ...], SourceDecoder] = {}

    def reading(format_name: str, source: str) -> SourceDecoder:
        rules = source_rules(catalog, source, None)._replace(source="")
        limits = limits_us(catalog, source)
        key = (format_name, rules, limits)
        if key not in known:
            known[key] = SourceDecoder(Decoder(format_name, rules, owners), *limits)
        return known[key]

    return reading


async def fetched(issuer: Issuer) -> bytes:
    """The keys that an issuer publishes, fetched over TLS without redirects, within JWKS_S and JWKS_BYTES_MAX.

    Raises FetchFailed.
    """
    try:
        trusted = ssl.create_default_context(cafile=issuer.ca_file)
        async with (
            asyncio.timeout(JWKS_S),
            httpx.AsyncClient(verify=trusted, trust_env=False, follow_redirects=False, timeout=JWKS_S) as client,
            client.stream(
                "GET", issuer.jwks_url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}
            ) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise FetchFailed(f"status {answer.status_code}")
            text = b""
            async for block in answer.aiter_raw():
                text += block
                if len(text) > JWKS_BYTES_MAX:
                    raise FetchFailed(f"more than {JWKS_BYTES_MAX} bytes")
            return text
    except (httpx.HTTPError, OSError, TimeoutError) as exc:
        raise FetchFailed(type(exc).__name__) from exc


def count_outcome(outcome: RequestOutcome) -> None:
    """Count the outcome of a request in the metrics."""
    metrics.HTTP_REQUESTS.labels(outcome.status).inc()
    metrics.HTTP_SECONDS.observe(outcome.seconds)
    if outcome.producer is not None and outcome.accepted:
        metrics.HTTP_ACCEPTED.labels(outcome.producer).inc(outcome.accepted)
    for reason, count in outcome.refused.items():
        metrics.HTTP_REFUSED.labels(reason).inc(count)


class Parts(NamedTuple):
    """The running components besides the server."""

    file: ProducersFile
    authenticator: Authenticator
    batcher: Batcher
    delivery: Delivery


def run(api: FastAPI, address: Address, parts: Parts, log: logging.Logger, options: loop.WorkerOptions) -> NoReturn:
    """Serve until SIGTERM, then end the process with the exit code."""
    threading.excepthook = lambda args: log.error(
        "a thread has ended", exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )
    make_room_for_connections()
    server = HttpServer(api, address, log)
    log.info(
        "listening",
        extra={"fields": {"host": address.host, "port": server.port, "tls": address.certificate is not None}},
    )
    file = parts.file  # the handler refers only to this, as what it refers to is never freed
    signal.signal(signal.SIGHUP, lambda *_: file.ask())

    def step() -> None:
        server.await_beat()
        while parts.batcher.busy_s > _TICK_S:  # the watchdog ends a batch that hangs
            parts.batcher.check()
            server.await_beat()
        parts.batcher.check()
        parts.delivery.check()
        if (producers := parts.file.changed()) is not None:
            parts.authenticator.replace(producers)
            log.info("producers reloaded", extra={"fields": {"producers": len(producers.producers)}})

    def end() -> None:
        server.close(options.drain_s)
        parts.batcher.close()
        parts.delivery.close(1.0)

    def wrong() -> list[str]:
        return [p for p in (parts.file.problem, parts.delivery.problem and f"Kafka: {parts.delivery.problem}") if p]

    code = loop.run(log, options, step, end=end, wrong=wrong)
    # Everything is closed. A teardown of the interpreter would print warnings about leaked DuckDB types.
    logging.shutdown()
    os._exit(code)


def make_room_for_connections() -> None:
    """Raise the limit of open files to the number of connections. Most systems limit a process to 1,024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
