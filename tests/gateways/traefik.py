"""Traefik, with its default log (CLF) and with that of docs/gateways.md. A process has one log, so two run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import block
from tests.gateways.cases import SHA_USER, Site
from tests.gateways.driver import Request, exchanged
from tests.gateways.finding import hpack, program
from tests.gateways.processes import LogPipe, free_port, running
from tests.gateways.reading import ANY, Between, Differs, Reading
from tests.gateways.upstream import Upstream

_STATIC = """
log: {{level: ERROR}}
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
entryPoints:
  web:
    address: "127.0.0.1:{port}"
providers: {{file: {{filename: routes.yaml, watch: false}}}}
{log}
"""
_ROUTES = """
http:
  routers:
    orders: {{rule: "PathPrefix(`/`)", priority: 1, service: orders_api}}
    basic: {{rule: "PathPrefix(`/basic/`)", priority: 2, service: orders_api, middlewares: [users]}}
    down: {{rule: "PathPrefix(`/down/`)", priority: 2, service: dead_api}}
    retry: {{rule: "PathPrefix(`/retry/`)", priority: 2, service: retried, middlewares: [again]}}
  middlewares:
    users: {{basicAuth: {{users: ["{user}"]}}}}
    again: {{retry: {{attempts: 4}}}}
  services:
    orders_api: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{upstream}"}}]}}}}
    dead_api: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{dead}"}}]}}}}
    retried: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{dead}"}}, {{url: "http://127.0.0.1:{upstream}"}}]}}}}
"""


def _forwarded(path: str) -> Differs:
    return Differs("the path as Traefik forwards it: encoded, and with dots resolved", fields={"path": path})


_SILENT = Differs("Go's HTTP server answers it itself, and Traefik logs nothing", lines=0)
_UNHEARD = Differs(
    "an answer that nobody got: 499 or 502",
    fields={"status": Between(499, 502), "response_bytes": ANY, "request_bytes": ANY},
)
_DIFFERS = {
    **dict.fromkeys(
        ("OPTIONS *", "CONNECT", "no host", "a host that is no text", "a TLS handshake", "garbage", "HTTP/0.9"), _SILENT
    ),
    "quotes and backslashes in a path": _forwarded("/v1/a%22b%5Cc%5C%22d"),
    "a path that is Latin-1": _forwarded("/v1/gr%F6%DFe"),
    "a path that is UTF-8": _forwarded("/v1/gr%C3%B6%C3%9Fe"),
    "an encoded path": _forwarded("/%22%20%FF/a%2Fb"),
    "dots and slashes in a path": _forwarded("/v1/a/c"),
    "an opening bracket in a path": _forwarded("/v1/%5B%7B%3C%7C%3E%7D%5D"),
    "a client that goes before the answer": _UNHEARD,
    "a client that goes during the answer": Differs(
        "the status that was sent", fields={"status": 200, "response_bytes": ANY}
    ),
    "a client that goes during its request": _UNHEARD,
    "HTTP/2 with a stream that is given up": Differs(
        "what was sent may not have arrived", fields={"response_bytes": ANY}
    ),
}


DEFAULT = Reading(
    format="traefik",
    request_bytes=lambda _: None,
    response_bytes=lambda sent: sent.content,
    at_end=False,
    step_us=1_000_000,
    has_latency=True,
    constant={"host": ANY},
    routes={"": "orders@file", "down": "down@file", "retry": "retry@file", "basic": "basic@file"},
    differs=_DIFFERS,
)
RECOMMENDED = Reading(
    format="traefik",
    request_bytes=lambda sent: len(sent.request.body),
    response_bytes=lambda sent: sent.content,
    at_end=False,
    step_us=1_000,
    has_latency=True,
    routes={"": "orders@file", "down": "down@file", "retry": "retry@file", "basic": "basic@file"},
    services={"": "orders_api@file", "down": "dead_api@file", "retry": "retried@file"},
    differs=_DIFFERS,
)
READINGS = {"default": DEFAULT, "recommended": RECOMMENDED}


_DEFAULT = 'accessLog: {filePath: "/var/log/traefik/tollbook.log"}'


@contextmanager
def started(folder: Path, log: str) -> Iterator[tuple[Site, dict[str, LogPipe]]]:
    """Traefik with one of the logs, and the pipe that it writes it to."""
    binary, upstream = program("traefik"), Upstream()
    pipe = LogPipe(folder / f"{log}.log")
    port = free_port()
    text = block("docs/gateways.md", "traefik.yaml") if log == "recommended" else _DEFAULT
    (folder / "traefik.yaml").write_text(
        _STATIC.format(port=port, log=text.replace("/var/log/traefik/tollbook.log", str(pipe.path)))
    )
    (folder / "routes.yaml").write_text(_ROUTES.format(user=SHA_USER, upstream=upstream.port, dead=free_port()))
    try:
        with running([binary, "--configFile=traefik.yaml"], [port], folder):
            while exchanged(port, Request(target=b"/ready"))[0].status != 200:
                pass  # it accepts connections before it has read its routes
            exchanged(port, Request(target=b"/is-ready"))
            pipe.wait_for(b"/is-ready", 0)
            yield Site(port, upstream, hpack()), {log: pipe}
    finally:
        pipe.close()
        upstream.close()
