"""The API behind the gateways: answers as the path asks, and records what it was asked."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

TEXT = b"twelve bytes"


class Asked(NamedTuple):
    """A request as it reached the API."""

    method: str
    target: str  # each byte is a character
    body: int


class _Handler(BaseHTTPRequestHandler):
    """Paths: …/status/404, …/bytes/5000, …/chunked/5000, …/drop, …/hold, …/silent, …/flaky/NAME; any other: twelve
    bytes.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Upstream"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        body = self._body()
        self.server.asked.append(Asked(self.command, self.path, len(body)))
        *_, kind, value = ["", *self.path.partition("?")[0].split("/")]
        if value == "drop" or (kind == "flaky" and not self.server.seen_before(value)):
            self.close_connection = True
        elif value in {"hold", "silent"}:
            self._hold(begins=value == "hold")
        elif kind == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            half = int(value) // 2
            for size in (half, int(value) - half):
                self.wfile.write(b"%x\r\n%s\r\n" % (size, b"x" * size))
            self.wfile.write(b"0\r\n\r\n")
        else:
            status = int(value) if kind == "status" else 200
            self._send(status, b"x" * int(value) if kind == "bytes" else TEXT)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        if status in {204, 304}:
            content = b""
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _hold(self, *, begins: bool) -> None:
        """Begin an answer, or do not, and wait until the gateway gives it up."""
        if begins:
            self.send_response(200)
            self.send_header("Content-Length", "10000000")
            self.end_headers()
            self.wfile.write(b"x" * 200_000)  # more than a gateway holds back
            self.wfile.flush()
        self.server.held.set()
        self.connection.settimeout(30)
        self.rfile.read(1)  # returns when the gateway closes
        self.close_connection = True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return content

    def log_message(self, *_: object) -> None:
        """The tests read what was recorded."""


class Upstream(ThreadingHTTPServer):
    """On a free port of 127.0.0.1, from `start` to `close`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])
        self.asked: list[Asked] = []
        self.held = threading.Event()
        self._names: Counter[str] = Counter()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def seen_before(self, name: str) -> bool:
        self._names[name] += 1
        return self._names[name] > 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that gives up a connection is no fault of the API."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()
