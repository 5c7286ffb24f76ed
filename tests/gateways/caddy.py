"""Caddy, with its default log and with that of docs/gateways.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import block
from tests.gateways.cases import USER, Site
from tests.gateways.finding import hpack, program
from tests.gateways.processes import LogPipe, free_port, running
from tests.gateways.reading import ANY, Between, Differs, Reading
from tests.gateways.upstream import Upstream

_CONFIG = """
{{
	admin off
	auto_https off
	persist_config off
	servers {{
		protocols h1 h2c
	}}
}}
http://:{port} {{
	bind 127.0.0.1
	{log}
	basic_auth /basic/* {{
		{user} {hash}
	}}
	reverse_proxy /down/* 127.0.0.1:{dead}
	reverse_proxy /retry/* 127.0.0.1:{dead} 127.0.0.1:{upstream} {{
		lb_policy first
		lb_retries 2
	}}
	reverse_proxy 127.0.0.1:{upstream}
}}
"""
_HASH = "$2a$04$tollbookgateways.testeDi2Dr.Zl7I3jR1M30hGRPqvyfgiXBWy"  # of cases.PASSWORD, by bcrypt at its least cost
_DEFAULT = """log {
	output file /var/log/caddy/tollbook.log
}
"""

_SILENT = Differs("Go's HTTP server answers it itself, and Caddy logs nothing", lines=0)
_UNHEARD = Differs("an answer that nobody got: 499 or 502", fields={"status": Between(499, 502), "request_bytes": ANY})
_DIFFERS = {
    **dict.fromkeys(
        ("OPTIONS *", "no host", "a host that is no text", "a TLS handshake", "garbage", "HTTP/0.9"), _SILENT
    ),
    "CONNECT": Differs("an answer to CONNECT has no body, but Caddy sends the API's", fields={"response_bytes": 12}),
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
    format="caddy",
    request_bytes=lambda sent: len(sent.request.body),
    response_bytes=lambda sent: sent.content,
    at_end=True,
    step_us=1_000,
    has_latency=True,
    identities=frozenset({"consumer"}),
    differs=_DIFFERS,
)
RECOMMENDED = DEFAULT  # shorter, and with an id
READINGS = {"default": DEFAULT, "recommended": RECOMMENDED}


@contextmanager
def started(folder: Path, log: str) -> Iterator[tuple[Site, dict[str, LogPipe]]]:
    """Caddy with one of the logs, and the pipe that it writes it to."""
    binary, upstream = program("caddy"), Upstream()
    pipe = LogPipe(folder / f"{log}.log")
    port = free_port()
    text = block("docs/gateways.md", "Caddyfile") if log == "recommended" else _DEFAULT
    text = text.replace("/var/log/caddy/tollbook.log", str(pipe.path))
    values = {"user": USER.decode(), "hash": _HASH, "upstream": upstream.port, "dead": free_port()}
    (folder / "Caddyfile").write_text(_CONFIG.format(port=port, log=text, **values))
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    try:
        with running([binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile"], [port], folder, env=home):
            yield Site(port, upstream, hpack()), {log: pipe}
    finally:
        pipe.close()
        upstream.close()
