"""No request ends `tollbook serve`, and nobody's connections starve others: the application and its server, with a
client of Kafka's own cluster in memory.
"""

import asyncio
import base64
import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest
from confluent_kafka import Producer
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.catalog import loading as catalogs
from ingest.decode.pipeline import prepare
from ingest.http import api as http_api
from ingest.http.admission import FailedAttempts, MemoryBudget, RateLimiter
from ingest.http.authentication import Authenticator
from ingest.http.batching import Batcher
from ingest.http.delivery import Delivery
from ingest.http.producers import Issuer, read
from ingest.http.responses import _STATUS
from ingest.http.tokens import FetchFailed
from kernels import compiled
from tests.ingest import any_input
from tests.ingest.fixtures import kong, line
from tests.long import amount
from tests.tollbook.serving import BATCH, EDGE, LINES, PRODUCERS, SINGLE, event, lines, write_installation
from tollbook.workers import http_server
from tollbook.workers.http_server import Address

NOW = datetime(2026, 10, 2, tzinfo=UTC)
OF_ONE_MAX = 20
DOCUMENTED = {204, 207, *_STATUS.values()} - {500}
ISSUERS = """
issuers:
  - {issuer: https://login.example, audience: a, jwks_url: https://login.example/jwks, algorithms: [ES256, RS256]}
"""
KEY = EDGE.text.encode()
_given = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))


async def no_keys(_: Issuer) -> bytes:
    raise FetchFailed("no network here")


class Running(NamedTuple):
    """A server of the test's own, and what it is made of."""

    api: FastAPI
    batcher: Batcher
    server: http_server.HttpServer

    def is_well(self) -> bool:
        """Whether it goes on: its threads run, and a good event is taken."""
        self.batcher.check()
        self.server.await_beat()
        return self.post(json.dumps(event("well")).encode()).status_code == 204

    def post(self, body: bytes, kind: str = SINGLE, query: str = "", **headers: str) -> httpx.Response:
        sent = {"Content-Type": kind, "Authorization": f"Bearer {EDGE.text}"} | headers
        url = f"http://127.0.0.1:{self.server.port}/api/v1/events{query}"
        return httpx.post(url, content=body, headers=sent, timeout=60, trust_env=False)

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), 20, (address, 0))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """As `tollbook serve` puts it together, once templates are warm."""
    folder = tmp_path_factory.mktemp("any-request")
    write_installation(folder, PRODUCERS + ISSUERS)
    producer = Producer(
        {"bootstrap.servers": "none:1", "test.mock.num.brokers": 1, "message.max.bytes": 8 << 20, "log_level": 0}
    )
    batcher = Batcher(http_server.readings(catalogs.load(folder / "catalog")))
    delivery = Delivery(producer, "gateway.access", 2)
    log = logging.getLogger("any-request")
    api = http_api.app()
    api.state.context = http_api.ApiContext(
        authenticator=Authenticator(read(folder / "producers.yaml"), no_keys, time.monotonic),
        rate_limiter=RateLimiter(time.monotonic),
        memory=MemoryBudget(64 << 20),
        failed_attempts=FailedAttempts(time.monotonic),
        batcher=batcher,
        delivery=delivery,
        now=lambda: NOW,
        clock=time.monotonic,
        log=log,
        on_outcome=lambda _: None,
    )
    server = http_server.HttpServer(api, Address("127.0.0.1", 0, of_one_max=OF_ONE_MAX), log)
    made = Running(api, batcher, server)
    for name in ("kong", http_api.CLOUDEVENTS):
        prepare(name)
    assert compiled.is_loaded()
    for begin in (0, 10_000):  # as many lines as make templates worth their while
        many = b"".join(line(kong(f"w-{n}")) for n in range(begin, begin + 10_000))
        assert made.post(many, LINES, "?format=kong").status_code == 204
        assert (
            made.post(json.dumps([event(f"w-{n}") for n in range(begin, begin + 10_000)]).encode(), BATCH).status_code
            == 204
        )
    yield made
    server.close(5)
    batcher.close()
    delivery.close(1)


def asked(
    api: FastAPI,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    query: bytes = b"",
    path: str = http_api.EVENTS,
    method: str = "POST",
) -> tuple[int, bytes]:
    """What the application answers: status and body. It is called as a server calls it."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.9", 1),
        "server": ("x", 1),
    }
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def go() -> None:
        await api(scope, receive, send)

    asyncio.run(go())
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("kind", "query", "body"),
    [(BATCH, "", b"[]"), (BATCH, "", b" [ \n ] "), (LINES, "?format=kong", b" \n"), (LINES, "", b"\n\n")],
)
def test_a_request_without_events_is_nothing_and_ends_nothing(
    running: Running, kind: str, query: str, body: bytes
) -> None:
    """`[]` ended the server for everybody, once templates were warm."""
    answer = running.post(body, kind, query)
    assert (answer.status_code, answer.json()["code"] if answer.content else None) in {(204, None), (400, "EMPTY")}
    assert running.is_well()


@pytest.mark.parametrize("value", ["%FF", "%ED%A0%80", "%C3", "a%80"])
def test_a_header_that_is_no_percent_encoded_text_is_the_senders_error(running: Running, value: str) -> None:
    """`ce-note: %FF` ended the server."""
    headers = {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "s", "ce-type": "t", "ce-note": value}
    answer = running.post(b"{}", "application/json", **headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert "ce-note" in answer.json()["detail"]
    assert running.is_well()


def _b64(text: bytes) -> bytes:
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def token(header: bytes, claims: bytes, signature: bytes = b"x") -> bytes:
    return b"Bearer " + b".".join(map(_b64, (header, claims, signature)))


_TEXTS = [
    b"{}",
    b"[]",
    b"1",
    b"null",
    b'"x"',
    b"{",
    b"[" * 5_000,
    b"9" * 4_400,
    b"\xff",
    b'{"alg":"ES256","kid":"k"}',
    b'{"alg":["ES256"],"kid":{}}',
    b'{"alg":"none"}',
    b'{"alg":"ES256","kid":"k","crit":["x"]}',
    b'{"alg":"ES256","b64":false,"crit":["b64"]}',
    b'{"iss":"https://login.example"}',
    b'{"iss":["https://login.example"]}',
    b'{"iss":"https://login.example","exp":' + b"9" * 4_000 + b"}",
    b'{"iss":"https://login.example","exp":1e400}',
]
AUTHORIZATIONS = st.one_of(
    st.just(b"Bearer " + KEY),
    st.builds(token, st.sampled_from(_TEXTS), st.sampled_from(_TEXTS), st.binary(max_size=4)),
    st.sampled_from(
        [
            b"",
            b"Bearer",
            b"Bearer ",
            b"Basic eDp5",
            b"Bearer tb_",
            b"Bearer \xff",
            b"Bearer a.b",
            b"Bearer " + b"." * 9,
            b"Bearer \xe9.\xe9.\xe9",
            b"Bearer " + b"x" * 9_000,
        ]
    ),
    st.binary(max_size=30).map(lambda b: b"Bearer " + b),
)
_values = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"",
            b"%FF",
            b"%",
            b"%u0041",
            b"\xff",
            b"1" * 5_000,
            b"\xb2",
            b"-1",
            b"identity",
            b"gzip",
            b"zstd",
            b"br",
            b"x" * 256,
            b"a b",
            b"1.0",
            b"0.3",
            b"2026-10-01T00:00:00Z",
            b"\x00",
        ]
    ),
)
_names = st.sampled_from(
    [
        b"ce-specversion",
        b"ce-id",
        b"ce-source",
        b"ce-type",
        b"ce-time",
        b"ce-subject",
        b"ce-data",
        b"ce-note",
        b"ce-\xff",
        b"ce-",
        b"content-length",
        b"content-encoding",
        b"idempotency-key",
        b"content-type",
        b"x-forwarded-for",
        b"host",
        b"expect",
        b"cookie",
        b"accept",
        b"\xff",
    ]
)
KINDS = st.sampled_from([SINGLE, BATCH, "application/json", LINES, "text/plain", "text/html", "", "a/b;c=\xff"]).map(
    lambda k: k.encode("latin-1")
)
QUERIES = st.sampled_from(
    [
        b"",
        b"format=kong",
        b"format=nginx",
        b"format=cloudevents",
        b"format=%FF",
        b"format=../kong",
        b"format=kong&format=x",
        b"%",
        b"&&&=",
        b"format=" + b"x" * 5_000,
    ]
)
_element = st.one_of(
    any_input.pieces("cloudevents"),
    st.just(json.dumps(event("a")).encode()),
    st.sampled_from([b'"a\nb"', b'"\\"', b"[", b"]", b"[[],[]]", b",", b"null", b'{"id":"\\ud800"}']),
)
BODIES = st.one_of(
    st.binary(max_size=60),
    any_input.blocks("cloudevents"),
    any_input.blocks("kong"),
    st.lists(_element, max_size=4).map(lambda parts: b"[" + b",".join(parts) + b"]"),
    st.sampled_from(
        [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xff\xfe[\x00]\x00", b"[" * 100_000, b"\xef\xbb\xbf[]", b"{}" * 3, b" "]
    ),
)


@settings(_given, max_examples=amount(30, 200, 1_500))
@given(
    AUTHORIZATIONS | st.just(b"Bearer " + KEY), KINDS, st.lists(st.tuples(_names, _values), max_size=5), QUERIES, BODIES
)
def test_every_request_gets_an_answer_that_is_documented(
    running: Running, authorization: bytes, kind: bytes, more: list[tuple[bytes, bytes]], query: bytes, body: bytes
) -> None:
    """Whatever credential, headers, parameters and body: never 500, an error always says its code, and the next
    request is answered.
    """
    status, answer = asked(
        running.api, [(b"authorization", authorization), (b"content-type", kind), *more], body, query
    )
    assert status in DOCUMENTED, answer
    if status not in {204, 207}:
        assert json.loads(answer)["status"] == status
    running.batcher.check()


@settings(_given, max_examples=amount(10, 60))
@given(st.text(max_size=12), st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "x"]), st.binary(max_size=20))
def test_every_path_is_answered(running: Running, path: str, method: str, query: bytes) -> None:
    """There is nothing else here, and the answer is 404 or 405."""
    status, _ = asked(running.api, [], b"", query, f"/{path}", method)
    assert status in {404, 405}


HEAD = b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Type: %b\r\n" % (
    KEY,
    LINES.encode(),
)
RAW = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.sampled_from(
            [
                b"POST /api/v1/events HTTP/1.1",
                b"GET /%FF HTTP/1.1",
                b"GET * HTTP/9.9",
                b"PRI * HTTP/2.0",
                b"\x16\x03\x01",
                b"Host: x",
                b"Host: \xff",
                b"Content-Length: 5",
                b"Content-Length: " + b"9" * 30,
                b"Content-Length: -1",
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: gzip",
                b"Expect: 100-continue",
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"",
                b"5",
                b"zz",
                b"0",
                b"hello",
                b"x" * 40_000,
            ]
        ),
        max_size=7,
    ).map(b"\r\n".join),
    st.binary(max_size=40).map(lambda b: HEAD + b"Content-Length: 40\r\n\r\n" + b),
    st.binary(max_size=40).map(lambda b: HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b),
)


@settings(_given, max_examples=amount(10, 60, 300))
@given(RAW)
def test_any_bytes_on_a_connection_end_nothing_but_it(running: Running, raw: bytes) -> None:
    """An answer or none, and then the connection is over; the next one is served."""
    with running.connect() as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer == b"" or int(answer.split(b" ", 2)[1]) in {100, 400, 401, 404, 405, 501, *DOCUMENTED}
    running.server.await_beat()


def test_the_server_is_well_after_all_that(running: Running) -> None:
    """What was sent before has left nothing behind."""
    assert running.is_well()


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            HEAD
            + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
            id="both lengths",
        ),
        pytest.param(
            HEAD.replace(b"/api/v1/events", b"/other")
            + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            id="both lengths, another path",
        ),
        pytest.param(
            HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="chunks in HTTP/1.0",
        ),
    ],
)
def test_a_request_of_two_lengths_is_refused_and_nothing_behind_it_is_read(running: Running, request_: bytes) -> None:
    """A proxy that believes the other length would let a sender put a request of its own before somebody else's."""
    with running.connect() as sock:
        sock.sendall(request_)
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"code":"BAD_REQUEST"' in answer


def test_an_address_that_opens_many_connections_starves_nobody_else(running: Running) -> None:
    """Its connections beyond the limit are answered with 503 before they say anything; others, and its own older
    ones, are served.
    """
    with (
        ExitStack() as held,
        httpx.Client(base_url=f"http://127.0.0.1:{running.server.port}", timeout=20, trust_env=False) as older,
    ):
        headers = {"Content-Type": SINGLE, "Authorization": f"Bearer {EDGE.text}"}
        good = json.dumps(event("older")).encode()
        assert older.post(http_api.EVENTS, content=good, headers=headers).status_code == 204
        for _ in range(OF_ONE_MAX - 1):
            held.enter_context(running.connect()).sendall(b"POST /api/v1/events HTT")
        for _ in range(5):
            with running.connect() as turned_away:
                answer = b"".join(iter(lambda: turned_away.recv(65_536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in head.lower()
            assert b"x-request-id: " in head.lower()
            assert json.loads(body)["code"] == "BUSY"
        with running.connect("127.0.0.2") as other:
            other.sendall(
                HEAD
                + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(lines([event("other")]))
                + lines([event("other")])
            )
            assert b"".join(iter(lambda: other.recv(65_536), b"")).startswith(b"HTTP/1.1 204 ")
        assert older.post(http_api.EVENTS, content=good, headers=headers).status_code == 204
    deadline = time.monotonic() + 20
    while (
        answered := running.post(good).status_code
    ) == 503:  # what has ended is counted no more, as soon as the server hears of it
        assert time.monotonic() < deadline
    assert answered == 204
