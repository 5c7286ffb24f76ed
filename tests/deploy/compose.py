"""docker-compose.yml, read: what it starts, as commands and environments for this machine instead of containers."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.dockerfile import ROOT

FILE = ROOT / "docker-compose.yml"
METRICS = "0.0.0.0:9464"
LISTEN = "0.0.0.0:8080"
BROKER = "kafka:9092"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class Service(NamedTuple):
    """A service of ours: the words behind `tollbook`, what is set in its environment, and what is mounted where."""

    name: str
    words: list[str]
    environment: dict[str, str]
    mounts: dict[str, str]  # target: source
    read_only: frozenset[str]
    said: Mapping[str, Any]

    def here(self, broker: str, places: Mapping[str, Path]) -> tuple[list[str], dict[str, str]]:
        """Words and environment with this machine's paths and addresses; `places` by the target of the mount."""

        def local(text: str) -> str:
            if text in {METRICS, LISTEN}:
                return "127.0.0.1:0"
            mounted = next((target for target in self.mounts if text == target or text.startswith(f"{target}/")), None)
            return text if mounted is None else f"{places[mounted]}{text.removeprefix(mounted)}"

        return [local(word) for word in self.words], {
            name: broker if value == BROKER else value for name, value in self.environment.items()
        }


def read(env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with its variables filled in."""
    given = env or {}
    text = _VARIABLE.sub(lambda m: given.get(m[1], m[2] or ""), FILE.read_text())
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def ours(env: Mapping[str, str] | None = None) -> dict[str, Service]:
    """The services that run our image."""
    found = {}
    for name, said in read(env)["services"].items():
        if said["image"] == "tollbook":
            parts = [volume.split(":") for volume in said.get("volumes", [])]
            found[name] = Service(
                name, said["command"], said["environment"], {p[1]: p[0] for p in parts},
                frozenset(p[1] for p in parts if p[2:] == ["ro"]), said,
            )  # fmt: skip
    return found


def tool() -> list[str] | None:
    """The client that validates the file: Debian's docker-compose; the engine it would talk to is not asked."""
    found = shutil.which("docker-compose", path=os.environ.get("PATH"))
    return [found] if found else None
