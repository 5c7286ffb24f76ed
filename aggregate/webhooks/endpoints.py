"""The webhook endpoints: a YAML file of receivers, and their signing keys, which are stored elsewhere.

The file names the environment variable or the file of a key (`whsec_…`, or base64). During a key rotation it has two
keys, one per line. Keys and URLs appear in no repr and no message, as a URL may contain a token.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from standardwebhooks import Webhook

from schemas.catalog.fields import Id
from schemas.yaml import reading

KEY_BYTES_MIN = 24  # Standard Webhooks: 24 to 64
PORTS = (443, 8443)


class BadEndpoints(Exception):
    """The file of endpoints or one of its keys cannot be used. The message says which and why."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One receiver. `private` allows this machine and private networks, and on this machine also plain HTTP."""

    name: str  # the name of its consumer group; a new name receives all alerts again
    url: str = field(repr=False)
    keys: tuple[Webhook, ...] = field(repr=False)
    partner: str | None = None  # receives alerts of this partner only
    private: bool = False

    def __post_init__(self) -> None:
        url = _url(self.name, self.url)
        if url.scheme != "https" and not (url.scheme == "http" and self.private and _is_this_machine(url)):
            raise BadEndpoints(f"{self.name}: the URL must begin with https://")
        if url.username is not None or url.password is not None:
            raise BadEndpoints(
                f"{self.name}: the URL must not contain a user or password; the signature authenticates Tollbook"
            )
        if not self.private and (url.port or PORTS[0]) not in PORTS:
            raise BadEndpoints(f"{self.name}: port {url.port} is not among {PORTS}")
        if not self.keys:
            raise BadEndpoints(f"{self.name}: there is no key to sign with")


class _EndpointEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Id
    url: Annotated[str, Field(max_length=2000)]
    secret_env: str | None = None
    secret_file: Path | None = None
    partner: Id | None = None
    private: bool = False


_FILE = TypeAdapter(list[_EndpointEntry])


def endpoints(file: Path, env: Mapping[str, str]) -> list[Endpoint]:
    """The endpoints of a file. Raises BadEndpoints, or OSError if a file cannot be read."""
    try:
        entries = _FILE.validate_python(reading.read(file.read_text("utf-8")) or [])
    except (reading.BadYaml, UnicodeDecodeError) as exc:
        raise BadEndpoints("\n".join(f"{file}: {line}" for line in str(exc).splitlines())) from exc
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        raise BadEndpoints(f"{file}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from exc
    names = [one.name for one in entries]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadEndpoints(f"{file}: more than one endpoint is named {', '.join(sorted(twice))}")
    return [Endpoint(name=s.name, url=s.url, keys=_keys(s, env), partner=s.partner, private=s.private) for s in entries]


def _keys(entry: _EndpointEntry, env: Mapping[str, str]) -> tuple[Webhook, ...]:
    if (entry.secret_env is None) == (entry.secret_file is None):
        raise BadEndpoints(f"{entry.name}: give either secret_env or secret_file")
    if entry.secret_file is not None:
        text, where = entry.secret_file.read_text(), str(entry.secret_file)
    else:
        text, where = env.get(str(entry.secret_env), ""), f"the variable {entry.secret_env}"
    return tuple(_key(line, f"{entry.name}: {where}") for line in text.split())


def _key(text: str, where: str) -> Webhook:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise BadEndpoints(f"{where} holds no key: whsec_ and base64") from None  # the cause would show the key
    if len(key) < KEY_BYTES_MIN:
        raise BadEndpoints(f"{where} holds a key of {len(key)} bytes; {KEY_BYTES_MIN} is the least")
    return Webhook(key)


def _url(name: str, url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        if split.hostname and split.port != 0:
            return split
    except ValueError:
        pass
    raise BadEndpoints(f"{name}: the URL is none")


def _is_this_machine(url: SplitResult) -> bool:
    try:
        return ip_address(url.hostname or "").is_loopback
    except ValueError:
        return url.hostname == "localhost"
