"""The file of sinks: YAML that says who is told about which alerts. Secrets are stored elsewhere.

The file names the environment variable or the file of a secret. Secrets and URLs appear in no repr and no message.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from aggregate.sinks.alertmanager import EXPIRES_S, AlertmanagerSink
from aggregate.sinks.chat import PAGERDUTY_URL, PagerDutySink, SlackSink
from aggregate.sinks.http import Target
from aggregate.sinks.mail import MailSink
from aggregate.sinks.notices import Severity
from aggregate.sinks.sink import BadSink, Sink, SinkRoute
from aggregate.sinks.webhook import WebhookSink, keys
from schemas.alerts import Kind
from schemas.catalog.fields import Id
from schemas.yaml import reading

_Url = Annotated[str, Field(max_length=2000)]
_Seconds = Annotated[float, Field(ge=60, le=7 * 86_400)]
_Severity = Literal["info", "warning", "critical"]


class _SinkEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Id
    secret_env: str | None = None
    secret_file: Path | None = None
    kinds: Annotated[frozenset[Kind], Field(min_length=1)] | None = None
    partner: Id | None = None  # the partner's own: it gets its own data only
    partners: Annotated[frozenset[Id], Field(min_length=1)] | None = None
    min_severity: _Severity = "info"
    private: bool = False

    @property
    def route(self) -> SinkRoute:
        if self.partner is not None and self.partners is not None:
            raise BadSink(f"{self.name}: give either partner, its own endpoint, or partners, whose alerts you get")
        return SinkRoute(
            kinds=self.kinds,
            partner=self.partner,
            partners=self.partners,
            min_severity=Severity[self.min_severity.upper()],
        )

    @property
    def has_secret(self) -> bool:
        return self.secret_env is not None or self.secret_file is not None

    def lines(self, env: Mapping[str, str]) -> tuple[list[str], str]:
        """The words of the secret, and where it is."""
        if (self.secret_env is None) == (self.secret_file is None):
            raise BadSink(f"{self.name}: give either secret_env or secret_file")
        if self.secret_file is not None:
            return self.secret_file.read_text().split(), f"{self.name}: {self.secret_file}"
        return env.get(str(self.secret_env), "").split(), f"{self.name}: the variable {self.secret_env}"

    def secret(self, env: Mapping[str, str]) -> str:
        """A secret that is one word."""
        words, where = self.lines(env)
        if len(words) != 1:
            raise BadSink(f"{where} must hold one secret, without blanks")
        return words[0]


class _Webhook(_SinkEntry):
    type: Literal["webhook"] = "webhook"
    url: _Url

    def sink(self, env: Mapping[str, str]) -> Sink:
        target = Target(name=self.name, url=self.url, private=self.private)
        return WebhookSink(target=target, keys=keys(*self.lines(env)), route=self.route)


class _Alertmanager(_SinkEntry):
    type: Literal["alertmanager"]
    url: _Url  # of the server; its path of the API is appended
    expires_s: _Seconds = EXPIRES_S

    def sink(self, env: Mapping[str, str]) -> Sink:
        url = f"{self.url.rstrip('/')}/api/v2/alerts"
        target = Target(name=self.name, url=url, private=self.private, plain=not self.has_secret)
        token = self.secret(env) if self.has_secret else None
        return AlertmanagerSink(target=target, route=self.route, expires_s=self.expires_s, token=token)


class _Slack(_SinkEntry):
    type: Literal["slack"]

    def sink(self, env: Mapping[str, str]) -> Sink:
        target = Target(name=self.name, url=self.secret(env), private=self.private)
        return SlackSink(target=target, route=self.route)


class _PagerDuty(_SinkEntry):
    type: Literal["pagerduty"]
    url: _Url = PAGERDUTY_URL

    def sink(self, env: Mapping[str, str]) -> Sink:
        target = Target(name=self.name, url=self.url, private=self.private)
        return PagerDutySink(target=target, key=self.secret(env), route=self.route)


class _Email(_SinkEntry):
    type: Literal["email"]
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    sender: Annotated[str, Field(alias="from")]
    to: Annotated[list[str], Field(min_length=1)]
    user: str | None = None
    plain: bool = False

    def sink(self, env: Mapping[str, str]) -> Sink:
        return MailSink(
            name=self.name,
            host=self.host,
            port=self.port,
            sender=self.sender,
            to=tuple(self.to),
            user=self.user,
            password=self.secret(env) if self.has_secret else None,
            private=self.private,
            plain=self.plain,
            route=self.route,
        )


def _type(entry: Any) -> str:
    return str(entry.get("type", "webhook")) if isinstance(entry, dict) else "webhook"


FILE: TypeAdapter[Any] = TypeAdapter(
    list[
        Annotated[
            Annotated[_Webhook, Tag("webhook")]
            | Annotated[_Alertmanager, Tag("alertmanager")]
            | Annotated[_Slack, Tag("slack")]
            | Annotated[_PagerDuty, Tag("pagerduty")]
            | Annotated[_Email, Tag("email")],
            Discriminator(_type),
        ]
    ]
)


def sinks(file: Path, env: Mapping[str, str]) -> list[Sink]:
    """The sinks of a file. Raises BadSink, or OSError if a file cannot be read."""
    try:
        entries = FILE.validate_python(reading.read(file.read_text("utf-8")) or [])
    except (reading.BadYaml, UnicodeDecodeError) as exc:
        raise BadSink("\n".join(f"{file}: {line}" for line in str(exc).splitlines())) from exc
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        raise BadSink(f"{file}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from exc
    names = [one.name for one in entries]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadSink(f"{file}: more than one sink is named {', '.join(sorted(twice))}")
    return [one.sink(env) for one in entries]
