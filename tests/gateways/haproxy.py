"""HAProxy, with its HTTP log as syslog gets it, and with the log of docs/gateways.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import block
from tests.gateways.cases import API_KEY, API_KEY_ID, PASSWORD, USER, Site
from tests.gateways.driver import Sent
from tests.gateways.finding import hpack, program
from tests.gateways.processes import Log, LogSocket, free_port, running
from tests.gateways.reading import ANY, Between, Differs, Reading
from tests.gateways.upstream import Upstream

_CONFIG = """
global
    nbthread 1
defaults
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    option abortonclose
userlist users
    user {user} insecure-password {password}
frontend api
    mode http
    bind 127.0.0.1:{port}
    {log}
    http-request auth realm vera if {{ path_beg /basic/ }} !{{ http_auth(users) }}
    http-request deny deny_status 401 if {{ path_beg /keys/ }} !{{ req.hdr(x-api-key) {key} }}
    use_backend dead_api if {{ path_beg /down/ }}
    use_backend retried if {{ path_beg /retry/ }}
    default_backend orders_api
backend orders_api
    mode http
    server one 127.0.0.1:{upstream}
backend dead_api
    mode http
    retries 0
    server one 127.0.0.1:{dead}
backend retried
    mode http
    balance first
    option redispatch 1
    retries 3
    server one 127.0.0.1:{dead}
    server two 127.0.0.1:{upstream}
frontend connections
    mode tcp
    bind 127.0.0.1:{tcp_port}
    log {socket} format {header} local0
    option tcplog
    default_backend forwarded
backend forwarded
    mode tcp
    server one 127.0.0.1:{upstream}
"""
_DEFAULT = """log /dev/log local0
    option httplog"""

_BADREQ = Differs(
    "HAProxy refuses it, and logs neither the request nor its answer",
    fields={"status": 400, "method": None, "path": None, "host": ANY, "response_bytes": 0, "request_bytes": ANY},
)
_DIFFERS = {
    **dict.fromkeys(
        (
            "an absolute target", "a TLS handshake", "garbage", "HTTP/0.9", "a path that is Latin-1", "a path that is UTF-8",
            "a fragment in a target", "a query that is no text",
        ),
        _BADREQ,
    ),
    "a large path": Differs("a target is cut at 1,024 bytes (tune.http.logurilen)", fields={"path": ANY}),
    "a client that goes before the answer": Differs("no status was sent", fields={"status": 0, "response_bytes": 0}),
    "a client that goes during the answer": Differs("the status that was sent", fields={"status": 200, "response_bytes": ANY}),
    "a client that goes during its request": Differs("no status was sent", fields={"status": 0, "response_bytes": 0}),
    "HTTP/2 with a stream that is given up": Differs("what was sent may not have arrived", fields={"response_bytes": ANY}),
}  # fmt: skip


def _about(sent: Sent) -> Between:
    """The content, and headers in HAProxy's own form; without the framing of chunks and of HTTP/2."""
    return Between(sent.content + 80, sent.content + 250)


def _uploaded(sent: Sent) -> Between:
    size = len(sent.request.body) + 100 if sent.is_http2 else sent.sent
    return Between(size - 60, size + 60)


DEFAULT = Reading(
    format="haproxy",
    request_bytes=lambda _: None,
    response_bytes=_about,
    at_end=False,
    step_us=1_000,
    has_latency=True,
    constant={"host": ANY},
    differs={
        **_DIFFERS,
        "a connection without a request": Differs("a line with status 400, without `option dontlognull`", lines=1),
    },
    routes={"": "api"},
    services={"": "orders_api", "down": "dead_api", "retry": "retried"},
)
RECOMMENDED = Reading(
    format="haproxy",
    request_bytes=_uploaded,
    response_bytes=_about,
    at_end=False,
    step_us=1_000_000,
    has_latency=True,
    identities=frozenset({"api_key"}),
    differs={
        **_DIFFERS,
        "a host that is no text": Differs("json(utf8s) leaves the byte out", fields={"host": "api.example"}),
    },
    routes={"": "api"},
    services={"": "orders_api", "down": "dead_api", "retry": "retried"},
)
READINGS = {"default": DEFAULT, "recommended": RECOMMENDED}


@contextmanager
def started(folder: Path, log: str) -> Iterator[tuple[Site, dict[str, Log]]]:
    """HAProxy with one of the logs, and the socket that it sends it to."""
    binary, upstream = program("haproxy"), Upstream()
    socket = LogSocket(folder / "log")
    (folder / "keys.map").write_text(f"{API_KEY.decode()} {API_KEY_ID}\n")
    port, tcp_port = free_port(), free_port()
    text = block("docs/gateways.md", "haproxy.cfg").replace("\n", "\n    ") if log == "recommended" else _DEFAULT
    text = text.replace("/dev/log", str(socket.path)).replace("/etc/haproxy", str(folder))
    values = {"user": USER.decode(), "password": PASSWORD.decode(), "key": API_KEY.decode()}
    header = "raw" if log == "recommended" else "rfc3164"
    (folder / "haproxy.cfg").write_text(
        _CONFIG.format(
            log=text, port=port, tcp_port=tcp_port, upstream=upstream.port, dead=free_port(), socket=socket.path,
            header=header, **values
        )
    )  # fmt: skip
    try:
        with running([binary, "-db", "-f", "haproxy.cfg"], [port, tcp_port], folder):
            assert socket.wait(1 if log == "recommended" else 2)  # the connections that found it ready
            yield Site(port, upstream, hpack(), tcp_port), {log: socket}
    finally:
        socket.close()
        upstream.close()
