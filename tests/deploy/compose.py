"""docker-compose.yml, read: what it starts, as commands and environments for this machine instead of containers."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

from tests.deploy import strict_yaml
from tests.deploy.dockerfile import ROOT

FILE = ROOT / "docker-compose.yml"
METRICS = "0.0.0.0:9464"
LISTEN = "0.0.0.0:8080"
BROKER = "kafka:9092"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_DURATION = re.compile(r"(?:\d+(?:us|ms|s|m|h))+")
_DURATIONS = {"stop_grace_period", "interval", "timeout", "start_period", "start_interval"}
_REPLACED = {"command", "entrypoint", "test"}  # lists that a second file does not add to


class Service(NamedTuple):
    """A service of ours: the words behind `tollbook`, what is set in its environment, and what is mounted where."""

    name: str
    words: list[str]
    environment: dict[str, str]
    mounts: dict[str, str]  # target: source
    read_only: frozenset[str]
    definition: Mapping[str, Any]

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
    return yaml.safe_load(_filled(FILE.read_text(), env or {}))  # type: ignore[no-any-return]


def _filled(text: str, env: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda m: env.get(m[1], m[2] or ""), text)


def ours(env: Mapping[str, str] | None = None) -> dict[str, Service]:
    """The services that run our image."""
    found = {}
    for name, definition in read(env)["services"].items():
        if definition["image"] == "tollbook":
            parts = [volume.split(":") for volume in definition.get("volumes", [])]
            found[name] = Service(
                name, definition["command"], definition["environment"], {p[1]: p[0] for p in parts},
                frozenset(p[1] for p in parts if p[2:] == ["ro"]), definition,
            )  # fmt: skip
    return found


def validated(*files: Path) -> dict[str, Any]:
    """The files, each put on top of those before it, when Compose would take them.

    Raises ValueError with what it would refuse.

    Each file must follow the Compose Specification's own schema and be YAML without a key that stands twice. The whole
    must say how long in Go's durations, and name only services, volumes, networks and secrets that are there. What an
    engine would say, of images and folders of this machine for example, is not asked.
    """
    whole: dict[str, Any] = {}
    for file in files:
        definition = strict_yaml.load(_filled(file.read_text(), {}))
        wrong = [
            f"{file.name}: {error.json_path}: {error.message}" for error in _specification().iter_errors(definition)
        ]
        if wrong:
            raise ValueError("\n".join(wrong))
        whole = _merged(whole, definition)
    problems = [*_not_durations(whole["services"], "services"), *_not_there(whole)]
    if problems:
        raise ValueError("\n".join(problems))
    return whole


@cache
def _specification() -> jsonschema.Draft202012Validator:
    """The schema as github.com/compose-spec/compose-spec publishes it (schema/compose-spec.json, Apache-2.0)."""
    return jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "compose-spec.json").read_text()))


def _merged(one: Any, other: Any, key: str = "") -> Any:
    """By the specification's rules for several files: mappings are merged, lists added to, everything else is
    replaced.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {name: _merged(one.get(name), value, name) for name, value in other.items()}
    if isinstance(one, list) and isinstance(other, list) and key not in _REPLACED:
        return one + [each for each in other if each not in one]
    return other


def _not_durations(definition: Any, place: str) -> Iterator[str]:
    if isinstance(definition, dict):
        for name, value in definition.items():
            if name in _DURATIONS and not _DURATION.fullmatch(str(value)):
                yield f"{place}.{name}: {value} is not a duration like 1m30s"
            yield from _not_durations(value, f"{place}.{name}")


def _not_there(whole: Mapping[str, Any]) -> Iterator[str]:
    for name, definition in whole["services"].items():
        volumes = [volume.split(":")[0] for volume in definition.get("volumes", [])]
        named = {
            "services": list(definition.get("depends_on", [])),
            "volumes": [source for source in volumes if source[0] not in "./~"],
            "networks": list(definition.get("networks", [])),
            "secrets": [
                secret if isinstance(secret, str) else secret["source"] for secret in definition.get("secrets", [])
            ],
        }
        for kind, names in named.items():
            for each in names:
                if each not in whole.get(kind, {}):
                    yield f"services.{name}: {each} is not in {kind}"


def tool() -> list[str] | None:
    """The client that validates the file: Debian's docker-compose; the engine it would talk to is not asked."""
    found = shutil.which("docker-compose", path=os.environ.get("PATH"))
    return [found] if found else None
