"""The gateways with the configurations of deploy/gateways, on free ports, each with an API behind it."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.gateways.finding import ROOT, debian, program
from tests.gateways.processes import free_port, running
from tests.gateways.upstream import Upstream

_FOLDER = ROOT / "deploy" / "gateways"
_AWAY = {"open": "fail open", "closed": "fail closed"}


class Enforcing(NamedTuple):
    """A gateway that asks for decisions: its port, the API behind it, and where it looks for `tollbook decide`."""

    port: int
    upstream: Upstream
    decide_port: int
    folder: Path


class _Start(NamedTuple):
    """What starts a gateway: a command over its files, and more for the process."""

    command: Sequence[str | Path]
    more: Mapping[str, Any] = MappingProxyType({})


def shipped(name: str, *, away: str) -> str:
    """A shipped configuration. `away` chooses between its lines marked `# fail open` and `# fail closed`."""
    return "\n".join(_chosen(line, _AWAY[away]) for line in (_FOLDER / name).read_text().split("\n"))


def _chosen(line: str, mark: str) -> str:
    if not (found := re.fullmatch(r"(\s*)(?:# )?(.*?)\s*# (fail open|fail closed)", line)):
        return line
    return f"{found[1]}{found[2]}" if found[3] == mark else f"{found[1]}# {found[2]}"


@contextmanager
def enforcing(gateway: str, folder: Path, *, away: str) -> Iterator[Enforcing]:
    """A gateway with its shipped configuration. Nothing answers for `tollbook decide` until a test starts it."""
    start = GATEWAYS[gateway]
    upstream, port, decide_port = Upstream(), free_port(), free_port()
    ports = {"8080": port, "9000": upstream.port, "8091": decide_port, "8093": free_port()}

    def write(name: str, *paths: tuple[str, str], to: str | None = None) -> Path:
        text = shipped(name, away=away)
        for shipped_port, own in ports.items():
            text = re.sub(rf"\b(127\.0\.0\.1:|port_value: |http://:){shipped_port}\b", rf"\g<1>{own}", text)
        for path, own_path in paths:
            assert path in text, f"{name} has no {path}"
            text = text.replace(path, own_path)
        file = folder / (to or name)
        file.write_text(text)
        return file

    try:
        command, more = start(folder, write)
        with running(command, [port], folder, **more):
            yield Enforcing(port, upstream, decide_port, folder)
    finally:
        upstream.close()


def _nginx(binary: Path) -> Callable[..., _Start]:
    def start(folder: Path, write: Callable[..., Path]) -> _Start:
        config = write(
            "nginx.conf",
            ("/var/log/nginx/", f"{folder}/"),
            ("/run/nginx.pid", f"{folder}/nginx.pid"),
            ("/var/cache/nginx/", f"{folder}/cache-"),
            ("worker_processes auto;", "worker_processes 1; daemon off; user root;"),
            ("http {\n", f"http {{\n{_temporary(folder)}"),
        )
        return _Start([binary, "-p", folder, "-c", config, "-e", "stderr"])

    return start


def _temporary(folder: Path) -> str:
    return "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )


def _debian_nginx(folder: Path, write: Callable[..., Path]) -> _Start:
    return _nginx(debian("nginx"))(folder, write)


def _newest_nginx(folder: Path, write: Callable[..., Path]) -> _Start:
    return _nginx(program("nginx"))(folder, write)


def _envoy(folder: Path, write: Callable[..., Path]) -> _Start:
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return _Start([program("envoy"), "-c", write("envoy.yaml"), *options])


def _traefik(folder: Path, write: Callable[..., Path]) -> _Start:
    routes = write("traefik-routes.yaml")
    config = write("traefik.yaml", ("/etc/traefik/traefik-routes.yaml", str(routes)))
    return _Start([program("traefik"), f"--configFile={config}"])


def _caddy(folder: Path, write: Callable[..., Path]) -> _Start:
    config = write("Caddyfile")
    config.write_text("{\n\tadmin off\n\tpersist_config off\n}\n" + config.read_text())
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return _Start([program("caddy"), "run", "--config", config, "--adapter", "caddyfile"], {"env": home})


def _haproxy(folder: Path, write: Callable[..., Path]) -> _Start:
    write("haproxy.lua", to="tollbook.lua")
    write("keys.map")
    config = write("haproxy.cfg", ("/etc/haproxy/", f"{folder}/"))
    return _Start([program("haproxy"), "-db", "-f", config])


_APACHE_MODULES = ("mpm_event", "authz_core", "setenvif", "proxy", "proxy_http", "lua")
_APACHE = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
ErrorLog /dev/stderr
User www-data
Group www-data
{modules}
"""


def _apache(folder: Path, write: Callable[..., Path]) -> _Start:
    binary = program("apache2")
    debian("lua-socket", Path("/usr/share/lua/5.3/socket/http.lua"))
    # Started by root, Apache reads the script as another user, who may not see the folder of the tests.
    script = Path(tempfile.mkdtemp(prefix="tollbook-apache-")) / "tollbook.lua"
    script.parent.chmod(0o755)
    write("apache.lua").rename(script)
    config = write("apache.conf", ("/etc/apache2/tollbook.lua", str(script)))
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _APACHE_MODULES)
    config.write_text(_APACHE.format(folder=folder, modules=modules) + config.read_text())
    return _Start([binary, "-D", "FOREGROUND", "-f", config])


GATEWAYS: dict[str, Callable[..., _Start]] = {
    "nginx": _newest_nginx,
    "nginx of Debian": _debian_nginx,
    "envoy": _envoy,
    "traefik": _traefik,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "apache": _apache,
}
# The status with which each answers without a decision, if it fails closed. Traefik has no way to choose one.
CLOSED = dict.fromkeys(GATEWAYS, 503) | {"traefik": 502}
