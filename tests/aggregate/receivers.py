"""Receivers of webhooks for the tests: real HTTP servers on this machine that answer as they are told."""

import contextlib
import queue
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

HANG = -1  # accept the request and never answer
DRIP = -2  # answer a few bytes at a time, without end


class Received(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers with the statuses it was given, the last one for ever; keeps what came."""

    def __init__(
        self, *statuses: int, headers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.let_go = threading.Event()
        left = list(statuses)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sent = {k.lower(): v for k, v in self.headers.items()}
                status = left.pop(0) if len(left) > 1 else left[0]
                receiver.received.put(Received(self.path, sent, body))
                if status == HANG:
                    receiver.let_go.wait()
                    return
                if status == DRIP:
                    with contextlib.suppress(OSError):
                        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                        while not receiver.let_go.wait(0.05):
                            self.wfile.write(b"x: y\r\n")
                    return
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?token=t"

    def next(self, timeout_s: float = 30) -> Received:
        """The next request; wait for it."""
        return self.received.get(timeout=timeout_s)


@contextlib.contextmanager
def receiver(
    *statuses: int, headers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver that runs as long as the block."""
    one = Receiver(*statuses, headers=headers, tls=tls)
    thread = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one
    finally:
        one.let_go.set()
        one.server.shutdown()
        thread.join()
        one.server.server_close()


def certificate(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate of its own authority for `host`: its file, for who is to trust it, and a server's context with
    it.
    """
    files = [folder / "cert.pem", folder / "key.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=t",
         "-addext", f"subjectAltName=DNS:{host}", "-out", str(files[0]), "-keyout", str(files[1])],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return files[0], context
