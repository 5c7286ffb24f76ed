"""Envoy, with its default log and with that of docs/gateways.md."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import block
from tests.gateways.cases import API_KEY, API_KEY_ID, SHA_USER, Site
from tests.gateways.finding import hpack, program
from tests.gateways.processes import LogPipe, free_port, running
from tests.gateways.reading import ANY, Differs, Reading
from tests.gateways.upstream import Upstream

_TYPE = "type.googleapis.com/envoy.extensions."

_UNREAD = Differs("Envoy's parser refuses it", fields={"status": 400, "method": None, "path": None, "host": None})
_DIFFERS = {
    "HTTP/1.0 without a host": Differs("default_host_for_http_10", fields={"host": "api.example"}),
    "OPTIONS *": Differs("no route takes it", fields={"route": None, "service": None}),
    "a method in small letters": _UNREAD,
    "an unknown method": _UNREAD,
    "a method with a dash": _UNREAD,
    "a path that is Latin-1": _UNREAD,
    "a path that is UTF-8": _UNREAD,
    "a query that is no text": _UNREAD,
    "a host that is no text": _UNREAD,
    "a TLS handshake": Differs(
        "answered to a client that is gone",
        fields={"status": 400, "response_bytes": ANY, "route": None, "service": None},
    ),
    "a client that goes before the answer": Differs("no status was sent", fields={"status": 0}),
    "a client that goes during the answer": Differs(
        "the status that was sent", fields={"status": 200, "response_bytes": ANY}
    ),
    "a client that goes during its request": Differs("no status was sent", fields={"status": 0, "request_bytes": 1000}),
    "HTTP/2 with a stream that is given up": Differs(
        "what Envoy sent may not have arrived", fields={"response_bytes": ANY}
    ),
}

DEFAULT = Reading(
    format="envoy",
    request_bytes=lambda sent: len(sent.request.body),
    response_bytes=lambda sent: sent.content,
    at_end=False,
    step_us=1_000,
    has_latency=True,
    differs=_DIFFERS,
)
RECOMMENDED = replace(
    DEFAULT,
    identities=frozenset({"api_key"}),
    services={"": "orders_api", "down": "dead_api", "retry": "retried"},
    routes={"": "orders", "down": "down", "retry": "retry", "keys": "keys", "basic": "basic"},
)
READINGS = {"default": DEFAULT, "recommended": RECOMMENDED}


def _typed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": f"envoy.{name}", "typed_config": {"@type": _TYPE + kind, **fields}}


def _recommended(pipes: dict[str, LogPipe]) -> dict[str, Any]:
    text = block("docs/gateways.md", "envoy.yaml").replace(
        "/var/log/envoy/tollbook.log", str(pipes["recommended"].path)
    )
    fields: dict[str, Any] = yaml.safe_load(text)
    default = _typed("access_loggers.file", "access_loggers.file.v3.FileAccessLog", path=str(pipes["default"].path))
    return fields | {"access_log": [default, *fields["access_log"]]}  # the default log is a file without a format


def _cluster(name: str, *ports: int) -> dict[str, Any]:
    ends = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "connect_timeout": "1s",
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": ends}]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _route(name: str, prefix: str, cluster: str, **filters: Any) -> dict[str, Any]:
    retry = {"retry_policy": {"retry_on": "connect-failure", "num_retries": 2}} if name == "retry" else {}
    off = {
        f"envoy.filters.http.{kind}": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
            "disabled": True,
        }
        for kind in ("api_key_auth", "basic_auth")
        if kind != filters.get("checks")
    }
    return {
        "name": name,
        "match": {"prefix": prefix},
        "route": {"cluster": cluster, **retry},
        "typed_per_filter_config": off,
    }


def _manager(pipes: dict[str, LogPipe]) -> dict[str, Any]:
    """Keys and users are checked on their routes alone."""
    routes = [
        _route("basic", "/basic/", "orders_api", checks="basic_auth"),
        _route("keys", "/keys/", "orders_api", checks="api_key_auth"),
        _route("down", "/down/", "dead_api"),
        _route("retry", "/retry/", "retried"),
        _route("orders", "/", "orders_api"),
    ]
    return _typed(
        "filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        **_recommended(pipes),
        http_protocol_options={"accept_http_10": True, "default_host_for_http_10": "api.example"},
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[
            _typed(
                "filters.http.api_key_auth", "filters.http.api_key_auth.v3.ApiKeyAuth",
                credentials=[{"key": API_KEY.decode(), "client": API_KEY_ID}],
                key_sources=[{"header": "X-Api-Key"}], forwarding={"header": "x-api-key-id"},
            ),
            _typed("filters.http.basic_auth", "filters.http.basic_auth.v3.BasicAuth", users={"inline_string": SHA_USER}),
            _typed("filters.http.router", "filters.http.router.v3.Router"),
        ],
    )  # fmt: skip


def _config(pipes: dict[str, LogPipe], ports: tuple[int, int], upstream: int) -> dict[str, Any]:
    dead = free_port()
    tcp = _typed(
        "filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="tcp", cluster="orders_api",
        access_log=_recommended(pipes)["access_log"],
    )  # fmt: skip
    chains = (_manager(pipes), tcp)
    return {
        "static_resources": {
            "listeners": [
                {"name": str(port), "address": _address(port), "filter_chains": [{"filters": [chain]}]}
                for port, chain in zip(ports, chains, strict=True)
            ],
            "clusters": [
                _cluster("orders_api", upstream),
                _cluster("dead_api", dead),
                _cluster("retried", dead, upstream),
            ],
        }
    }


@contextmanager
def started(folder: Path) -> Iterator[tuple[Site, dict[str, LogPipe]]]:
    """Envoy, and the pipes that it writes its logs to."""
    binary, upstream = program("envoy"), Upstream()
    pipes = {name: LogPipe(folder / f"{name}.log") for name in READINGS}
    port, tcp_port = free_port(), free_port()
    (folder / "envoy.json").write_text(json.dumps(_config(pipes, (port, tcp_port), upstream.port)))
    options = (
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--file-flush-interval-msec",
        "10",
        "--log-level",
        "error",
    )
    try:
        with running([binary, "-c", folder / "envoy.json", *options], [port], folder):
            yield Site(port, upstream, hpack(), tcp_port), pipes
    finally:
        for pipe in pipes.values():
            pipe.close()
        upstream.close()
