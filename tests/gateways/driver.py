"""A client that writes requests byte by byte and records what it sent and what came back."""

import contextlib
import socket
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

WAIT_S = 20


@dataclass(frozen=True)
class Request:
    """A request of HTTP/1, as bytes. `raw` is sent instead of all else, for what is no request."""

    method: bytes = b"GET"
    target: bytes = b"/v1/orders"
    version: bytes = b"1.1"
    host: bytes | None = b"api.example"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    chunked: bool = False
    raw: bytes | None = None

    @property
    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        lines = [b"%s %s HTTP/%s" % (self.method, self.target, self.version)]
        if self.host is not None:
            lines.append(b"Host: " + self.host)
        lines += [b"%s: %s" % pair for pair in self.headers]
        body = self.body
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif body:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Sent(NamedTuple):
    """A request that was sent and its answer. Sizes in bytes: of all, of the body as it travelled, of its content."""

    request: Request
    began_us: int
    ended_us: int
    sent: int
    status: int | None = None  # None: no answer
    received: int = 0
    received_body: int = 0
    content: int = 0
    is_http2: bool = False


class _Answer(NamedTuple):
    status: int
    head: int
    body: int
    content: int


class Connection:
    """A connection over which requests go one after another."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._file = self.socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def exchange(self, request: Request) -> Sent:
        """Send a request and read its answer to the end."""
        began = now_us()
        self.write(request.wire)
        return self.answered(request, began)

    def write(self, data: bytes) -> None:
        """Write all; a gateway that answers early may close before."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answered(self, request: Request, began_us: int) -> Sent:
        """Read the answer to a request that has been written."""
        answer = self._read(request.method)
        sent = Sent(request, began_us, now_us(), len(request.wire))
        if answer is None:
            return sent
        return sent._replace(
            status=answer.status, received=answer.head + answer.body, received_body=answer.body, content=answer.content
        )

    def _read(self, method: bytes) -> _Answer | None:
        before = 0
        while True:
            try:
                head = self._head()
            except ConnectionResetError:
                head = b""
            if not head:
                return None
            if not head.startswith(b"HTTP/"):  # HTTP/0.9: an answer is its content
                return _Answer(200, 0, len(head), len(head))
            status = int(head.split(b" ", 2)[1])
            if status >= 200 or status == 101:
                break
            before += len(head)
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        body, content = self._body(method, status, fields)
        return _Answer(status, before + len(head), body, content)

    def _head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            if not line:
                return b"" if head.startswith(b"HTTP/") else head
            head += line
        return head

    def _body(self, method: bytes, status: int, fields: dict[bytes, bytes]) -> tuple[int, int]:
        """The sizes of a body: with its chunks' frames, and without."""
        if method == b"HEAD" or status in {204, 304, 101} or (method == b"CONNECT" and status == 200):
            return 0, 0
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            return self._chunks()
        if b"content-length" in fields:
            size = len(self._file.read(int(fields[b"content-length"])))
            return size, size
        size = self._to_the_end()
        return size, size

    def _to_the_end(self) -> int:
        """The bytes until the gateway closes; it may reset what it does not read."""
        size = 0
        with contextlib.suppress(ConnectionResetError):
            while part := self._file.read1():
                size += len(part)
        return size

    def _chunks(self) -> tuple[int, int]:
        total = content = 0
        while True:
            line = self._file.readline()
            size = int(line.split(b";")[0], 16)
            total += len(line) + len(self._file.read(size + 2))
            content += size
            if not size:
                return total, content


def now_us() -> int:
    return time.time_ns() // 1000


def exchanged(port: int, *requests: Request) -> list[Sent]:
    """The requests over one connection, which is closed after them."""
    connection = Connection(port)
    try:
        return [connection.exchange(request) for request in requests]
    finally:
        connection.close()


def pipelined(port: int, *requests: Request) -> list[Sent]:
    """The requests in one write."""
    connection = Connection(port)
    try:
        began = now_us()
        connection.write(b"".join(request.wire for request in requests))
        return [connection.answered(request, began) for request in requests]
    finally:
        connection.close()


def with_headers(request: Request, *headers: tuple[bytes, bytes]) -> Request:
    return replace(request, headers=(*request.headers, *headers))
