"""Credentials as gateways name them: `api_key:ID`, `iam:PRINCIPAL`, `consumer:NAME`, `oidc:ISSUER|CLIENT`.

They are found in the catalog as ingest finds them in a log: an IAM session by its role, an OIDC client by its issuer
if the catalog names no client.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from schemas.catalog.credentials import Credential
from schemas.catalog.records import Partner
from schemas.windows import to_us

KINDS = ("api_key", "iam", "consumer", "oidc")
_SESSION = re.compile(r"arn:([^:]*):sts::([^:]*):assumed-role/([^/]+)/.+", re.DOTALL)


class BadCredential(ValueError):
    """The text does not name a kind of credential. Whoever configured the gateway must correct it."""


class Named(NamedTuple):
    """A credential as a gateway names it. `value` is empty if the client sent none."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class _Owner(NamedTuple):
    partner_id: str
    from_us: int
    to_us: int


class Owners:
    """The partners that credentials belong to, by time."""

    def __init__(self, partners: Iterable[Partner]) -> None:
        self._owners: dict[tuple[str, str], list[_Owner]] = {}
        for partner in partners:
            for credential in partner.credentials:
                owner = _Owner(partner.id, *partner.validity_us(credential))
                for value in credential.logged_as:
                    self._owners.setdefault((credential.kind, value), []).append(owner)

    def partner_id(self, credential: Named, at: datetime) -> str | None:
        """The partner that a credential belongs to at an instant, or None."""
        now_us = to_us(at)
        for value in _values(credential):
            for owner in self._owners.get((credential.kind, value), ()):
                if owner.from_us <= now_us < owner.to_us:
                    return owner.partner_id
        return None


def named(text: str) -> Named:
    """The credential that a text names. Raises BadCredential; the part after the kind may be anything."""
    kind, colon, value = text.partition(":")
    if not colon or kind not in KINDS:
        raise BadCredential(f"a credential is written KIND:ID, where KIND is one of {', '.join(KINDS)}")
    return Named(kind, value)


def name_of(credential: Credential) -> Named:
    """A credential of the catalog, as a gateway names it."""
    if credential.kind == "oidc" and credential.client_id:
        return Named(credential.kind, f"{credential.issuer}|{credential.client_id}")
    return Named(*credential.key)


def _values(credential: Named) -> Iterator[str]:
    """The values that may be in the catalog, the most exact first."""
    if credential.kind == "oidc":
        issuer, bar, client = credential.value.rpartition("|")
        if bar:
            yield f"{issuer}#{client}"
            yield issuer
            return
    yield credential.value
    if credential.kind == "iam" and (session := _SESSION.fullmatch(credential.value)):
        yield f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}"
