"""NGINX, with its default log and with that of docs/gateways.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import block
from tests.gateways.cases import PASSWORD, USER, Site
from tests.gateways.finding import hpack, program
from tests.gateways.processes import LogPipe, free_port, running
from tests.gateways.reading import ANY, Differs, Reading
from tests.gateways.upstream import Upstream

_CONFIG = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; client_max_body_size 1m; large_client_header_buffers 4 16k;
    {recommended}
    access_log {default} combined;
    upstream orders_api {{ server 127.0.0.1:{upstream}; }}
    upstream dead_api {{ server 127.0.0.1:{dead}; }}
    upstream retried {{ server 127.0.0.1:{dead} max_fails=0; server 127.0.0.1:{upstream}; }}
    server {{
        listen 127.0.0.1:{port}; http2 on; server_name api.example;
        proxy_http_version 1.1;
        location / {{ proxy_pass http://orders_api; }}
        location /basic/ {{ auth_basic vera; auth_basic_user_file users; proxy_pass http://orders_api; }}
        location /keys/ {{ if ($api_key_id = "") {{ return 401; }} proxy_pass http://orders_api; }}
        location /down/ {{ proxy_pass http://dead_api; }}
        location /retry/ {{ proxy_pass http://retried; }}
    }}
}}
"""

_GONE = {
    "a client that goes before the answer": Differs("499 is NGINX's own status", fields={"status": 499}),
    "a client that goes during the answer": Differs(
        "the status that was sent", fields={"status": 200, "response_bytes": ANY}
    ),
    "a client that goes during its request": Differs("refused as half a request", fields={"status": 400}),
    "HTTP/2 with a stream that is given up": Differs(
        "what NGINX sent may not have arrived", fields={"response_bytes": ANY}
    ),
}
_UNCOUNTED = Differs("a request that NGINX cannot parse has no size", fields={"request_bytes": 0})
_NO_HOST = Differs("$host falls back to the server's name", fields={"host": "api.example"})


def _escaped(path: bytes) -> Differs:
    return Differs("the text log escapes these bytes, and the path is taken as written", fields={"path": path.decode()})


DEFAULT = Reading(
    format="nginx",
    request_bytes=lambda _: None,
    response_bytes=lambda sent: sent.content if sent.is_http2 else sent.received_body,
    at_end=True,
    step_us=1_000_000,
    has_latency=False,
    constant={"host": ANY},  # only of an absolute target
    differs={
        **_GONE,
        "100-continue": Differs("the interim response counts as body", fields={"response_bytes": 25 + 12}),
        "quotes and backslashes in a path": _escaped(rb"/v1/a\x22b\x5Cc\x5C\x22d"),
        "a path that is Latin-1": _escaped(rb"/v1/gr\xF6\xDFe"),
        "a path that is UTF-8": _escaped(rb"/v1/gr\xC3\xB6\xC3\x9Fe"),
    },
)
RECOMMENDED = Reading(
    format="nginx",
    request_bytes=lambda sent: sent.sent,
    response_bytes=lambda sent: sent.received,
    at_end=True,
    step_us=1_000,
    has_latency=True,
    identities=frozenset({"api_key"}),
    host=lambda host: host and host.lower().rstrip("."),
    services={"": "orders_api", "down": "dead_api", "retry": "retried"},
    differs={
        **_GONE,
        "no host": _NO_HOST,
        "HTTP/1.0 without a host": _NO_HOST,
        "a claimed user in the target": _UNCOUNTED,
        "OPTIONS *": _UNCOUNTED,
        "a host that is no text": Differs("refused", fields={"host": "api.example", "request_bytes": 45}),
        "a path that is Latin-1": Differs("the path shows its bytes", fields={"path": r"/v1/gr\xf6\xdfe"}),
        "a method in small letters": _UNCOUNTED,
    },
)
READINGS = {"default": DEFAULT, "recommended": RECOMMENDED}


@contextmanager
def started(folder: Path) -> Iterator[tuple[Site, dict[str, LogPipe]]]:
    """NGINX, and the pipes that it writes its logs to."""
    binary, upstream = program("nginx"), Upstream()
    pipes = {name: LogPipe(folder / f"{name}.log") for name in READINGS}
    port, dead = free_port(), free_port()
    recommended = block("docs/gateways.md", "nginx.conf").replace(
        "/var/log/nginx/tollbook.log", str(pipes["recommended"].path)
    )
    (folder / "users").write_bytes(USER + b":{PLAIN}" + PASSWORD + b"\n")
    (folder / "nginx.conf").write_text(
        _CONFIG.format(
            recommended=recommended, default=pipes["default"].path, dead=dead, upstream=upstream.port, port=port
        )
    )
    try:
        with running([binary, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"], [port], folder):
            yield Site(port, upstream, hpack()), pipes
    finally:
        for pipe in pipes.values():
            pipe.close()
        upstream.close()
