"""API keys: `tb_<prefix>_<secret>`. The secret has 256 random bits, so that a plain SHA-256 of it is safe to store."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from ingest.http.producers import ApiKey, BadProducers, Producer, parsed
from schemas.yaml.edits import Append, CannotEdit, edited
from schemas.yaml.writing import Entry

PREFIX_BYTES, SECRET_BYTES = 6, 32
_KEY = re.compile(r"tb_([0-9a-f]{12})_([0-9a-f]{64})")
_NOBODY = "0" * 64  # compared if there is no such key, so that the check takes as long


class NewKey(NamedTuple):
    """A key as its owner gets it, once, and as it is stored."""

    text: str
    kept: ApiKey


def is_key(token: str) -> bool:
    """Whether a credential looks like an API key."""
    return token.startswith("tb_")


def new_key(random: Callable[[int], bytes], valid_from: datetime | None = None) -> NewKey:
    """A new key from a source of random bytes (secrets.token_bytes)."""
    prefix, secret = random(PREFIX_BYTES).hex(), random(SECRET_BYTES).hex()
    kept = ApiKey(prefix=prefix, sha256=_hash(secret), valid_from=valid_from)
    return NewKey(f"tb_{prefix}_{secret}", kept)


def owner(token: str, keys: Mapping[str, tuple[Producer, ApiKey]], now: datetime) -> Producer | None:
    """The producer of a valid key, else None. Takes as long for a wrong secret as for an unknown prefix."""
    parts = _KEY.fullmatch(token)
    prefix, secret = parts.groups() if parts else ("", "")
    found = keys.get(prefix)
    is_right = hmac.compare_digest(_hash(secret), found[1].sha256 if found else _NOBODY)
    return found[0] if found and is_right and found[1].is_valid(now) else None


def with_key(text: str, producer_id: str, key: ApiKey) -> str:
    """The producers file with one more key; every other byte stays. Raises BadProducers if it cannot be added."""
    known = [producer.id for producer in parsed(text).producers]
    if producer_id not in known:
        raise BadProducers(f"there is no producer {producer_id!r}; there are: {', '.join(known)}")
    added = {"prefix": key.prefix, "sha256": key.sha256}
    if key.valid_from is not None:
        added["valid_from"] = key.valid_from.isoformat()
    try:
        return edited(text, [Append(("producers", known.index(producer_id), "keys"), (Entry(added),))])
    except CannotEdit as exc:
        raise BadProducers(f"the key of {producer_id} cannot be added: line {exc}") from exc


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
