"""A server of decisions from a table, with the HTTP API of `tollbook decide`: what a gateway does with each answer."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Denied(NamedTuple):
    """Why a credential is denied, and in how many seconds its limit begins anew; None: not by itself."""

    reason: str
    retry_after_s: int | None = 3600


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Decisions"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:  # Envoy asks by the method of the request
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        credential = self.headers.get("X-Tollbook-Credential") or query.get("credential", "")
        self.server.asked.append(credential)
        if url.path != "/v1/decision" or not credential:
            self._send(400, {})
            return
        denied = self.server.table.get(credential)
        if denied is None:
            self._send(int(query.get("allow", "200")), {"X-Tollbook-Decision": "allow"})
            return
        limits = denied.reason in {"QUOTA", "BUDGET"}
        headers = {"X-Tollbook-Decision": "deny", "X-Tollbook-Reason": denied.reason}
        if denied.retry_after_s is not None:
            headers["Retry-After"] = str(denied.retry_after_s)
        self._send(int(query.get("deny", "403")) if limits else 403, headers)

    def _send(self, status: int, headers: dict[str, str]) -> None:
        body = b"" if status == 204 else json.dumps(headers).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The tests read what was recorded."""


class Decisions(ThreadingHTTPServer):
    """On a port of 127.0.0.1. `table` holds the credentials that are denied; all others are allowed."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.table: dict[str, Denied] = {}
        self.asked: list[str] = []
        self._connections: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that gives up a connection is no fault."""

    def close(self) -> None:
        """Gone as after a kill: the connections that gateways keep are closed, too."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            super().shutdown_request(connection)
        self._thread.join()
