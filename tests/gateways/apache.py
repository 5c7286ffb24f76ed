"""Apache httpd, with the logs that its own configuration and Debian's have, and with that of docs/gateways.md."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.docs.pages import block
from tests.gateways.cases import API_KEY, SHA_USER, USER, Site
from tests.gateways.finding import hpack, program
from tests.gateways.processes import LogPipe, free_port, running
from tests.gateways.reading import ANY, Differs, Reading
from tests.gateways.upstream import Upstream

_MODULES = (
    "mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "proxy", "proxy_http", "proxy_balancer",
    "lbmethod_byrequests", "slotmem_shm", "http2",
)  # fmt: skip
_CONFIG = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
ErrorLog /dev/stderr
LogLevel crit
ServerName api.example
Listen 127.0.0.1:{port}
Protocols h2c http/1.1
{user_of_children}
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {default} common
CustomLog {debian} combined
{recommended}
LimitRequestFieldSize 16000
LimitRequestLine 16000
ProxyTimeout 1
ProxyRequests Off
<Proxy balancer://retried>
    BalancerMember http://127.0.0.1:{dead}
    BalancerMember http://127.0.0.1:{upstream}
</Proxy>
ProxyPass /down/ http://127.0.0.1:{dead}/down/
ProxyPass /retry/ balancer://retried/retry/
ProxyPass / http://127.0.0.1:{upstream}/
<Location /basic/>
    AuthType Basic
    AuthName vera
    AuthUserFile {users}
    Require user {user}
</Location>
<Location /keys/>
    Require expr "%{{HTTP:X-Api-Key}} == '{key}'"
</Location>
"""


def _escaped(path: str) -> Differs:
    return Differs("the log escapes these bytes, and the path is taken as written", fields={"path": path})


_DIFFERS = {
    "quotes and backslashes in a path": _escaped(r"""/v1/a\"b\\c\\\"d"""),
    "a path that is Latin-1": _escaped(r"/v1/gr\xf6\xdfe"),
    "a path that is UTF-8": _escaped(r"/v1/gr\xc3\xb6\xc3\x9fe"),
    "CONNECT": Differs("an answer to CONNECT has no body, but Apache sends the API's", fields={"response_bytes": ANY}),
    "a client that goes before the answer": Differs(
        "an answer that nobody got", fields={"status": 502, "response_bytes": ANY}
    ),
    "a client that goes during the answer": Differs(
        "the status that was sent", fields={"status": 200, "response_bytes": ANY}
    ),
    "a client that goes during its request": Differs(
        "an answer that nobody got", fields={"status": 400, "response_bytes": ANY}
    ),
    "HTTP/2 with a stream that is given up": Differs(
        "what was sent may not have arrived", fields={"response_bytes": ANY}
    ),
}

DEFAULT = Reading(
    format="apache",
    request_bytes=lambda _: None,
    response_bytes=lambda sent: sent.content,
    at_end=False,
    step_us=1_000_000,
    has_latency=False,
    constant={"host": ANY},  # only of an absolute target
    differs=_DIFFERS,
)
DEBIAN = replace(DEFAULT, response_bytes=lambda sent: sent.received)
RECOMMENDED = replace(
    DEBIAN,
    trust_user=True,
    identities=frozenset({"consumer"}),
    constant={},
    # That of the server, but for an absolute target.
    host=lambda host: host if host == "other.example" else "api.example",
)
READINGS = {"default": DEFAULT, "debian": DEBIAN, "recommended": RECOMMENDED}


@contextmanager
def started(folder: Path) -> Iterator[tuple[Site, dict[str, LogPipe]]]:
    """Apache httpd, and the pipes that it writes its logs to."""
    binary, upstream = program("apache2"), Upstream()
    pipes = {name: LogPipe(folder / f"{name}.log") for name in READINGS}
    port = free_port()
    recommended = block("docs/gateways.md", "apache.conf").replace(
        "/var/log/apache2/tollbook.log", str(pipes["recommended"].path)
    )
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES)
    # Started by root, Apache reads the users as another one, who may not see the folder of the tests.
    with tempfile.NamedTemporaryFile("w", suffix=".users") as users:
        users.write(f"{SHA_USER}\n")
        users.flush()
        Path(users.name).chmod(0o644)
        (folder / "httpd.conf").write_text(
            modules
            + _CONFIG.format(
                folder=folder, port=port, user_of_children="User www-data\nGroup www-data", default=pipes["default"].path,
                debian=pipes["debian"].path, recommended=recommended, dead=free_port(), upstream=upstream.port, users=users.name,
                user=USER.decode(), key=API_KEY.decode(),
            )
        )  # fmt: skip
        try:
            with running([binary, "-D", "FOREGROUND", "-f", folder / "httpd.conf"], [port], folder):
                yield Site(port, upstream, hpack()), pipes
        finally:
            for pipe in pipes.values():
                pipe.close()
            upstream.close()
