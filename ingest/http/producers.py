"""The producers file: who may send over HTTP, as a YAML document. It has no secrets, only hashes of keys.

A producer is one sender with a source name of its own, so that no producer can use up another's event ids. All its keys
and clients count as one producer. To rotate a key, hand out the new one, then end the old one (`valid_to`).
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ingest.decode import formats
from schemas.catalog.fields import Instant
from schemas.yaml import reading

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
SOURCE_CHARACTERS_MAX = 128


class BadProducers(ValueError):
    """The producers file cannot be used. The message lists every reason, one per line."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RateLimit(_Model):
    """What a producer may send: events per second in the long run, and at once after a pause."""

    events_per_s: int = Field(default=10_000, ge=1, le=10_000_000)
    burst: int = Field(default=50_000, ge=1, le=100_000_000)


class ApiKey(_Model):
    """A key `tb_<prefix>_<secret>`. The prefix identifies it; the SHA-256 of the secret proves it."""

    prefix: str = Field(pattern=r"^[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    valid_from: Instant | None = None
    valid_to: Instant | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether the key is valid at `now`: [valid_from, valid_to)."""
        return (self.valid_from is None or self.valid_from <= now) and (self.valid_to is None or now < self.valid_to)


class Client(_Model):
    """A client as the tokens of an issuer name it."""

    issuer: str
    client: str = Field(min_length=1, max_length=256)


class Issuer(_Model):
    """An issuer of tokens: audience, algorithms, location of its keys. None of this is ever taken from a token."""

    issuer: str = Field(min_length=1, max_length=512)
    audience: str = Field(min_length=1, max_length=512)
    jwks_url: str
    algorithms: tuple[Algorithm, ...] = Field(min_length=1)
    client_claim: Literal["azp", "client_id", "sub"] = "azp"
    lifetime_max_s: int = Field(default=86_400, ge=60)
    ca_file: Path | None = None  # certificate authorities for `jwks_url`; default: those of the machine

    @field_validator("jwks_url")
    @classmethod
    def _https(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError(f"jwks_url {url!r} must be https://host/path, without user and fragment")
        return url


class Producer(_Model):
    """One sender. Everything it sends gets the source name `source`, whatever the events say."""

    id: Name
    source: str = Field(min_length=1, max_length=SOURCE_CHARACTERS_MAX)
    formats: tuple[str, ...] = Field(default=("cloudevents",), min_length=1)
    rate: RateLimit | None = None
    keys: tuple[ApiKey, ...] = ()
    clients: tuple[Client, ...] = ()

    @field_validator("source")
    @classmethod
    def _can_be_named(cls, source: str) -> str:
        if not source.strip() or any(not c.isprintable() or c == "/" for c in source):
            raise ValueError(f"source {source!r} must be printable, without slashes")
        return source

    @field_validator("formats")
    @classmethod
    def _known(cls, wanted: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(wanted) - set(formats.names()):
            raise ValueError(f"unknown format {sorted(unknown)[0]!r}; `tollbook formats` lists them")
        return wanted


class Producers(_Model):
    """All producers, and the issuers whose tokens are accepted."""

    rate: RateLimit = RateLimit()
    issuers: tuple[Issuer, ...] = ()
    producers: tuple[Producer, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> "Producers":
        once: tuple[tuple[str, list[str]], ...] = (
            ("producer id", [p.id for p in self.producers]),
            ("source", [p.source for p in self.producers]),
            ("key prefix", [k.prefix for p in self.producers for k in p.keys]),
            ("issuer", [i.issuer for i in self.issuers]),
            ("client", [f"{c.issuer} {c.client}" for p in self.producers for c in p.clients]),
        )
        for what, values in once:
            if twice := sorted(value for value, times in Counter(values).items() if times > 1):
                raise ValueError(f"{what} {twice[0]!r} occurs twice")
        known = {i.issuer for i in self.issuers}
        for producer in self.producers:
            for client in producer.clients:
                if client.issuer not in known:
                    raise ValueError(f"producer {producer.id}: issuer {client.issuer!r} is not among `issuers`")
        return self

    def rate_of(self, producer: Producer) -> RateLimit:
        """The producer's own limit, or the default."""
        return producer.rate or self.rate

    def by_prefix(self) -> Mapping[str, tuple[Producer, ApiKey]]:
        """Producer and key by the key's prefix."""
        return {key.prefix: (producer, key) for producer in self.producers for key in producer.keys}

    def by_client(self) -> Mapping[tuple[str, str], Producer]:
        """Producer by issuer and client."""
        return {(c.issuer, c.client): producer for producer in self.producers for c in producer.clients}


def parsed(text: str) -> Producers:
    """The producers of a YAML text, in which every scalar is read as text. Raises BadProducers with all reasons."""
    try:
        document = reading.read(text)
    except reading.BadYaml as exc:
        raise BadProducers(str(exc)) from exc
    if not isinstance(document, dict):
        raise BadProducers("the file must be a mapping with `producers`")
    try:
        return Producers.model_validate(document)
    except ValidationError as exc:
        raise BadProducers(
            "\n".join(_located_message(e["loc"], e["msg"]) for e in exc.errors(include_url=False))
        ) from exc


def read(path: Path) -> Producers:
    """The producers of a file. Raises BadProducers, OSError."""
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (BadProducers, UnicodeDecodeError) as exc:
        raise BadProducers("\n".join(f"{path}: {line}" for line in str(exc).splitlines())) from exc


def _located_message(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(map(str, place))
    return f"{where}: {message}" if where else message.removeprefix("Value error, ")
