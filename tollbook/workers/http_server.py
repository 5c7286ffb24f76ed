"""`tollbook serve` as a process: the HTTP door, its server on a thread of its own, watched like every worker.

The connection is bounded where the application cannot see it: a head that does not come, and an end that comes too early.
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
LINGER_S = 2.0  # so long a connection that was turned away stays, so that its answer is read before it is reset
_FILES = (
    CONNECTIONS_MAX + 1048
)  # open at once, beside connections: Kafka, DuckDB, certificates, those that are turned away
_TELL_S = 60.0
KEEP_ALIVE_S = 75
JWKS_BYTES_MAX, JWKS_S = 64 << 10, 5.0
RELOAD_S = 5.0
_TICK_S = 0.2


class Address(NamedTuple):
    """Where the door is."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For is believed
    head_s: float = 30.0
    of_one_max: int = CONNECTIONS_OF_ONE_MAX  # connections of one address


class Patient(H11Protocol):
    """A connection that waits for a head for `head_s` and no longer, and answers a body that was cut with 400.

    One too many, of its address or of all, is answered with 503 before it has said anything, and never reaches the application.
    """

    head_s = 30.0
    crowd: ConnectionLimits
    turned_away: Callable[[str], None]  # is told the address
    _late: asyncio.TimerHandle | None = None
    _address = ""
    _is_in = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
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
        """Nothing to wait for."""
        self._stop_waiting()
        if self._is_in:
            self.crowd.leave(self._address)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait until a head is whole: from then on the application counts."""
        if not self._is_in:
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._late is None:
            self._wait()

    def on_response_complete(self) -> None:
        """The next head may come: the time begins with its first byte."""
        super().on_response_complete()
        self._stop_waiting()

    def eof_received(self) -> None:
        """The sender will send no more. A body that is not whole is told so."""
        if self._is_in and self.cycle is not None and not self.cycle.response_complete and self.cycle.more_body:
            self.conn.receive_data(b"")
            self.handle_events()

    def _turn_away(self, transport: asyncio.Transport, whose: str) -> None:
        """Answer, and read on for a while: to close at once would reset what the sender has not read yet."""
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
    """The answer 503 as it goes over the wire."""
    said = responses.of_problem(ApiProblem(Code.BUSY, detail, retry_after_s=1, headers={"Connection": "close"}))
    said.headers["X-Request-Id"] = secrets.token_hex(8)
    head = b"".join(b"%b: %b\r\n" % pair for pair in said.raw_headers)
    return b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"\r\n" + bytes(said.body)


class Server:
    """The application on an address, served by a thread of its own."""

    def __init__(self, api: FastAPI, address: Address, log: logging.Logger) -> None:
        """Listens. Raises OSError where that cannot be."""
        self._log = log
        self._told_s: float | None = None
        held = {
            "head_s": address.head_s,
            "crowd": ConnectionLimits(CONNECTIONS_MAX, address.of_one_max, address.proxies),
            "turned_away": staticmethod(self._turned_away),
        }
        self._socket = socket.create_server((address.host, address.port), family=_family(address.host), backlog=2048)
        config = uvicorn.Config(
            api, http=type("Patient", (Patient,), held), ws="none", lifespan="off", loop="asyncio", log_config=None, access_log=False,
            server_header=False, proxy_headers=bool(address.proxies), forwarded_allow_ips=list(address.proxies),
            timeout_keep_alive=KEEP_ALIVE_S, h11_max_incomplete_event_size=HEAD_BYTES,
            ssl_certfile=address.certificate, ssl_keyfile=address.key,
        )  # fmt: skip
        config.load()  # a certificate that cannot be read is told here, not by a thread
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(config)
        self._beat = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http", daemon=True)
        self._thread.start()

    def await_beat(self) -> None:
        """Return when the event loop has turned once more; never, while it hangs. Raises RuntimeError when it has ended."""
        self._beat.clear()
        while not self._beat.wait(_TICK_S):
            if not self._thread.is_alive():
                raise RuntimeError("the thread that serves has ended")

    def close(self, timeout_s: float) -> None:
        """Answer what is here, take nothing more."""
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout_s) - 1)
        self._server.should_exit = True
        self._thread.join(timeout_s)

    def _turned_away(self, address: str) -> None:
        """Count it; and a line now and then for whoever watches, however many they are."""
        metrics.HTTP_REQUESTS.labels(503).inc()
        now = asyncio.get_running_loop().time()
        if self._told_s is None or now - self._told_s >= _TELL_S:
            self._told_s = now
            said = {"security": True, "code": Code.BUSY, "network": logged_network(address)}
            self._log.warning("too many connections", extra={"fields": said})

    async def _serve(self) -> None:
        beating = asyncio.create_task(self._beats())
        await self._server.serve([self._socket])
        beating.cancel()

    async def _beats(self) -> None:
        while True:
            self._beat.set()
            await asyncio.sleep(_TICK_S)


class ProducersFile:
    """The producers file, read again when it has changed or when SIGHUP says so."""

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
        """Read it at the next look, whatever it looks like."""
        self._asked.set()

    def changed(self) -> Producers | None:
        """The new producers, if there are any. One that cannot be read changes nothing, and is a problem until it is mended."""
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
            self.problem = f"the producers file cannot be used; what it said before holds: {exc}"
            self._log.error(self.problem, extra={"fields": {"reason": "PRODUCERS"}})
            return None
        self.problem = None
        return producers

    def _mark(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


def readings(catalog: Catalog) -> Callable[[str, str], SourceDecoder]:
    """How requests of a format and source are read: the same for all sources with the same rules, so that they are read together."""
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
    """The keys an issuer publishes: from its one address over TLS, in JWKS_S, no redirect, at most JWKS_BYTES_MAX. Raises FetchFailed."""
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
            async for piece in answer.aiter_raw():
                text += piece
                if len(text) > JWKS_BYTES_MAX:
                    raise FetchFailed(f"more than {JWKS_BYTES_MAX} bytes")
            return text
    except (httpx.HTTPError, OSError, TimeoutError) as exc:
        raise FetchFailed(type(exc).__name__) from exc


def told(answered: RequestOutcome) -> None:
    """Count an answer."""
    metrics.HTTP_REQUESTS.labels(answered.status).inc()
    metrics.HTTP_SECONDS.observe(answered.seconds)
    if answered.producer is not None and answered.accepted:
        metrics.HTTP_ACCEPTED.labels(answered.producer).inc(answered.accepted)
    for reason, count in answered.refused.items():
        metrics.HTTP_REFUSED.labels(reason).inc(count)


class Parts(NamedTuple):
    """What runs, besides the server."""

    file: ProducersFile
    authenticator: Authenticator
    batcher: Batcher
    delivery: Delivery


def run(api: FastAPI, address: Address, parts: Parts, log: logging.Logger, options: loop.Options) -> NoReturn:
    """Until SIGTERM; then the process ends with the exit code."""
    threading.excepthook = lambda args: log.error(
        "a thread has ended", exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )
    _make_room_for_connections()
    server = Server(api, address, log)
    log.info(
        "listening",
        extra={"fields": {"host": address.host, "port": server.port, "tls": address.certificate is not None}},
    )
    file = parts.file  # alone: what a signal handler holds is never freed
    signal.signal(signal.SIGHUP, lambda *_: file.ask())

    def step() -> None:
        server.await_beat()
        while parts.batcher.busy_s > _TICK_S:  # a batch that never ends is the watchdog's
            parts.batcher.check()
            server.await_beat()
        parts.batcher.check()
        parts.delivery.check()
        if (producers := parts.file.changed()) is not None:
            parts.authenticator.replace(producers)
            log.info("producers read again", extra={"fields": {"producers": len(producers.producers)}})

    def end() -> None:
        server.close(options.drain_s)
        parts.batcher.close()
        parts.delivery.close(1.0)

    def wrong() -> list[str]:
        return [p for p in (parts.file.problem, parts.delivery.problem and f"Kafka: {parts.delivery.problem}") if p]

    code = loop.run(log, options, step, end=end, wrong=wrong)
    # All is closed. To take the interpreter down would be to be told which of DuckDB's types other libraries still hold.
    logging.shutdown()
    os._exit(code)


def _make_room_for_connections() -> None:
    """Ask for as many open files as there may be connections; most systems give a process 1,024 unless it asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
