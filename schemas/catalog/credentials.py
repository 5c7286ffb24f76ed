"""The credentials that identify a partner in a log, and the grants of a policy."""

import re
from datetime import date, datetime
from typing import Literal

from pydantic import Field, field_validator, model_validator

from schemas.catalog.fields import Action, CatalogRecord, Network, Resource, day_of, instant_of

_ROLE_PATH = re.compile(r"^(arn:[^:]+:iam::[^:]*:role/).*/([^/]+)$")


class Grant(CatalogRecord):
    """What an IAM principal may do, like a policy statement: these actions, on these resources, from these networks.

    `*` matches any characters, `?` one. Actions are compared case-insensitively. Without `networks`, any network is
    allowed.
    """

    actions: tuple[Action, ...] = Field(min_length=1)
    resources: tuple[Resource, ...] = Field(default=("*",), min_length=1)
    networks: tuple[Network, ...] | None = Field(default=None, min_length=1)


class Credential(CatalogRecord):
    """What identifies a partner in a log: an API key's id, an IAM principal, a consumer, or an OIDC issuer and client.

    Never put the secret itself into a catalog. A date means midnight in the partner's time zone. `networks` and `allow`
    do not affect the invoice: usage outside them is counted, marked and reported.
    """

    kind: Literal["api_key", "iam", "consumer", "oidc"]
    id: str | None = Field(default=None, min_length=1, max_length=2048)
    issuer: str | None = Field(default=None, min_length=1)
    client_id: str | None = Field(default=None, min_length=1)
    networks: tuple[Network, ...] | None = Field(default=None, min_length=1)
    allow: tuple[Grant, ...] | None = Field(default=None, min_length=1)
    valid_from: datetime | date | None = None
    valid_to: datetime | date | None = None

    @field_validator("valid_from", "valid_to", mode="before")
    @classmethod
    def _date_stays_date(cls, value: object) -> object:
        return value if isinstance(value, str) and "T" in value.upper() and instant_of(value) else day_of(value)

    @model_validator(mode="after")
    def _named(self) -> "Credential":
        if self.kind == "oidc":
            if self.issuer is None or self.id is not None:
                raise ValueError(
                    "an oidc credential needs an `issuer`, and a `client_id` for a single client; it has no `id`"
                )
        elif self.id is None or self.issuer is not None or self.client_id is not None:
            raise ValueError(f"a credential of kind {self.kind} needs an `id`, and no `issuer` or `client_id`")
        if self.allow is not None and self.kind != "iam":
            raise ValueError("`allow` is only for kind iam; remove it, and use `networks` for other kinds")
        for bound in (self.valid_from, self.valid_to):
            if isinstance(bound, datetime) and bound.tzinfo is None:
                raise ValueError("an instant needs a time zone; write it like 2026-01-01T00:00:00Z, or write a date")
        return self

    @property
    def key(self) -> tuple[str, str]:
        """(kind, value) as the log shows it. The value of an OIDC client is `issuer#client_id`."""
        if self.kind == "oidc":
            return self.kind, f"{self.issuer}#{self.client_id}" if self.client_id else str(self.issuer)
        return self.kind, str(self.id)

    @property
    def logged_as(self) -> tuple[str, ...]:
        """All values that identify it in a log.

        A role with a path also has its ARN without it, as session ARNs omit the path.
        """
        value = self.key[1]
        short = _ROLE_PATH.sub(r"\1\2", value) if self.kind == "iam" else value
        return (value,) if short == value else (value, short)
