"""What is sent to every gateway: ordinary requests, and the odd ones that clients really send."""

import base64
import contextlib
import hashlib
import socket
import struct
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from tests.gateways.driver import Connection, Request, Sent, exchanged, now_us, pipelined
from tests.gateways.http2 import Http2
from tests.gateways.upstream import Upstream

USER, PASSWORD = b"vera", b"right"  # what the gateway checks below /basic/
# The same as a line of a file of users, as Apache, Envoy and Traefik read it.
SHA_USER = f"{USER.decode()}:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD).digest()).decode()}"
API_KEY, API_KEY_ID = b"s3cret-of-vera", "k9x2"  # what it checks below /keys/


class Site(NamedTuple):
    """A gateway to send to."""

    port: int
    upstream: Upstream
    hpack: ModuleType
    tcp_port: int | None = None  # of a listener that forwards connections, and reads no request in them


class Case(NamedTuple):
    """`play` sends. A gateway must write a line for each request, or its reading says why not."""

    name: str
    play: Callable[[Site], list[Sent]]
    refused: str | None = None  # the reason why its lines are no requests


def basic(user: bytes, password: bytes) -> tuple[bytes, bytes]:
    return b"Authorization", b"Basic " + base64.b64encode(user + b":" + password)


def get(*headers: tuple[bytes, bytes], target: bytes = b"/v1/orders") -> Request:
    return Request(target=target, headers=headers)


def agent(value: bytes) -> Request:
    return get((b"User-Agent", value))


def _one(name: str, *requests: Request) -> Case:
    return Case(name, lambda site: exchanged(site.port, *requests))


def _nothing(site: Site) -> list[Sent]:
    """A connection without a request, as a port scan or a check of health leaves it."""
    Connection(site.port).close()
    return []


def _half_a_handshake(site: Site) -> list[Sent]:
    """The client says that it is done: a gateway that knows TLS waits for the rest."""
    request = Request(raw=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    connection = Connection(site.port)
    began = now_us()
    connection.write(request.wire)
    with contextlib.suppress(OSError):  # the gateway may have closed it
        connection.socket.shutdown(socket.SHUT_WR)
    sent = connection.answered(request, began)
    connection.close()
    return [sent]


def _abort_while_answered(site: Site) -> list[Sent]:
    """The client goes when the answer has begun."""
    request = get(target=b"/v1/hold")
    site.upstream.held.clear()
    connection = Connection(site.port)
    began = now_us()
    connection.write(request.wire)
    assert site.upstream.held.wait(20)
    connection.socket.recv(1)
    connection.close()
    return [Sent(request, began, now_us(), len(request.wire))]


def _abort_before_answered(site: Site) -> list[Sent]:
    """The client resets the connection while the API has not answered."""
    request = get(target=b"/v1/silent")
    site.upstream.held.clear()
    connection = Connection(site.port)
    began = now_us()
    connection.write(request.wire)
    assert site.upstream.held.wait(20)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return [Sent(request, began, now_us(), len(request.wire))]


def _abort_in_body(site: Site) -> list[Sent]:
    """The client goes before it has sent its body."""
    request = Request(b"POST", headers=((b"Content-Length", b"5000"),))
    connection = Connection(site.port)
    began = now_us()
    connection.write(request.wire + b"x" * 1000)
    connection.close()
    return [Sent(request, began, now_us(), len(request.wire) + 1000)]


def _connected(port: int) -> list[Sent]:
    connection = Connection(port)
    connection.close()
    return [Sent(Request(raw=b""), now_us(), now_us(), 0)]


def _over_http2(*requests: Request) -> Callable[[Site], list[Sent]]:
    def play(site: Site) -> list[Sent]:
        client = Http2(site.port, site.hpack)
        try:
            return [sent for request in requests for sent in client.answers(client.send(request))]
        finally:
            client.close()

    return play


def _aborted_stream(site: Site) -> list[Sent]:
    client = Http2(site.port, site.hpack)
    try:
        return [client.cancel(client.send(get(target=b"/v1/hold")))]
    finally:
        client.close()


ORDINARY = [
    _one("GET", get()),
    _one("a query", get(target=b"/v1/orders?page=2&token=abc")),
    _one("POST", Request(b"POST", body=b"y" * 1234)),
    _one("a chunked request", Request(b"POST", body=b"y" * 1234, chunked=True)),
    _one("a large request", Request(b"PUT", body=b"y" * 300_000)),
    _one("a large answer", get(target=b"/v1/bytes/300000")),
    _one("a chunked answer", get(target=b"/v1/chunked/5000")),
    _one("HEAD", Request(b"HEAD")),
    *(
        _one(f"status {status}", get(target=b"/v1/status/%d" % status))
        for status in (201, 204, 301, 304, 404, 429, 500)
    ),
    _one("three over one connection", get(), Request(b"POST", body=b"abc"), get(target=b"/v1/bytes/77")),
    Case("two pipelined", lambda site: pipelined(site.port, get(), get(target=b"/v1/bytes/77"))),
    _one("100-continue", Request(b"POST", headers=((b"Expect", b"100-continue"),), body=b"abc")),
    _one("HTTP/1.0", Request(version=b"1.0")),
    _one("HTTP/1.0 without a host", Request(version=b"1.0", host=None)),
    _one("HTTP/1.0 keep-alive", *[Request(version=b"1.0", headers=((b"Connection", b"keep-alive"),))] * 2),
    _one("an absolute target", get(target=b"http://other.example:8080/v1/orders?page=2")),
    _one("OPTIONS *", Request(b"OPTIONS", b"*")),
    _one("CONNECT", Request(b"CONNECT", b"other.example:443", host=b"other.example:443")),
    _one("DELETE", Request(b"DELETE", b"/v1/orders/17")),
]

ODD = [
    _one("a method in small letters", Request(b"get")),
    _one("an unknown method", Request(b"BREW")),
    _one("a method with a dash", Request(b"VERSION-CONTROL")),
    _one("no host", Request(host=None)),
    _one("an odd host", Request(host=b"API.Example.:8080")),
    Case("a TLS handshake", _half_a_handshake),
    Case("a connection without a request", _nothing),
    _one("garbage", Request(raw=b"no request at all\r\n\r\n")),
    _one("HTTP/0.9", Request(raw=b"GET /v1/orders\r\n\r\n")),
    _one("an empty header", agent(b"")),
    _one("no user agent, all else", get((b"Accept", b"*/*"), (b"X-Forwarded-For", b"203.0.113.9, 10.0.0.1"))),
    _one("quotes and backslashes in an agent", agent(rb'a "b" \"c\" \\ d\x22 \n')),
    _one("a forged end of line in an agent", agent(b'" 500 9 "-" "x')),
    _one("a forged JSON member in an agent", agent(b'","status":500,"api_key_id":"k-other","x":"')),
    _one("brackets in an agent", agent(b'[01/Jan/2020:00:00:00 +0000] {"a": [1]}')),
    _one("an agent that is Latin-1", agent("Größe".encode("latin-1"))),
    _one("an agent that is no text", agent(bytes(range(0x80, 0x100)))),
    _one("an agent that is UTF-8", agent("Größe 漢字 🙂".encode())),
    _one("an agent with U+2028 and a half pair", agent(b"\xe2\x80\xa8 \xed\xa0\x80")),
    _one("a tab in an agent", agent(b"a\tb")),
    _one("a large agent", agent(b"m" * 6000)),
    _one("a referer like an agent", get((b"Referer", b'http://x/"q"\\'), (b"User-Agent", b"\\"))),
    _one("quotes and backslashes in a path", get(target=rb'/v1/a"b\c\"d?x="')),
    _one("a path that is Latin-1", get(target="/v1/größe".encode("latin-1"))),
    _one("a query that is no text", get(target=b"/v1/orders?x=\xff\xfe")),
    _one("a host that is no text", Request(host=b"api\xff.example")),
    _one("a forwarded address that is no text", get((b"X-Forwarded-For", b"203.0.113.9\xff"))),
    _one("a path that is UTF-8", get(target="/v1/größe".encode())),
    _one("an encoded path", get(target=b"/v1/%2e%2e/%22%20%ff/a%2Fb")),
    _one("dots and slashes in a path", get(target=b"/v1//a/./b/../c")),
    _one("an opening bracket in a path", get(target=b"/v1/[{<|>}]")),
    _one("a fragment in a target", get(target=b"/v1/orders?page=2#top")),
    _one("a large path", get(target=b"/v1/" + b"p" * 5000)),
    _one("an id that the client chose", get((b"X-Request-Id", b"same"), (b"X-Api-Key-Id", b"k-other"))),
]

CLAIMS = [
    _one("a claimed user", get(basic(b"victim", b"x"))),
    _one("a claimed user with odd characters", get(basic(b'vic "tim" \\ \xff', b"x"))),
    _one("a claimed user without a password", get((b"Authorization", b"Basic " + base64.b64encode(b"victim")))),
    _one("a claimed user in the target", get(target=b"http://victim:x@api.example/v1/orders")),
    _one("a user who was checked", get(basic(USER, PASSWORD), target=b"/basic/orders")),
    _one("a wrong password", get(basic(USER, b"wrong"), target=b"/basic/orders")),
    _one("a key that was checked", get((b"X-Api-Key", API_KEY), target=b"/keys/orders")),
    _one("an unknown key", get((b"X-Api-Key", b"no"), target=b"/keys/orders")),
]

FAILURES = [
    _one("upstream down", get(target=b"/down/orders")),
    _one("upstream drops the request", get(target=b"/v1/drop")),
    _one("a retry", get(target=b"/retry/orders")),
    Case("a client that goes before the answer", _abort_before_answered),
    Case("a client that goes during the answer", _abort_while_answered),
    Case("a client that goes during its request", _abort_in_body),
]

HTTP2 = [
    Case("HTTP/2", _over_http2(get(), get(target=b"/v1/bytes/50000"), Request(b"POST", body=b"y" * 1234))),
    Case("HTTP/2 with odd headers", _over_http2(agent(b'a"b\\c\xff'))),
    Case("HTTP/2 with a user who was checked", _over_http2(get(basic(USER, PASSWORD), target=b"/basic/orders"))),
    Case("HTTP/2 with a stream that is given up", _aborted_stream),
]

TCP = [
    Case("a TCP connection", lambda site: exchanged(site.tcp_port or 0, get()), refused="NOT_A_REQUEST"),
    Case("a TCP connection without a byte", lambda site: _connected(site.tcp_port or 0), refused="NOT_A_REQUEST"),
]

CASES = [*ORDINARY, *ODD, *CLAIMS, *FAILURES, *HTTP2]
