"""API keys: `tb_<prefix>_<secret>`. The secret has 256 random bits, so that its plain SHA-256 cannot be guessed from."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import yaml

from ingest.http.producers import ApiKey, BadProducers, Producer, parsed

PREFIX_BYTES, SECRET_BYTES = 6, 32
_KEY = re.compile(r"tb_([0-9a-f]{12})_([0-9a-f]{64})")
_NOBODY = "0" * 64  # compared with where there is no such key, so that this takes as long


class NewKey(NamedTuple):
    """A key as its owner gets it, once, and as it is kept."""

    text: str
    kept: ApiKey


def is_key(token: str) -> bool:
    """Whether a credential means to be a key."""
    return token.startswith("tb_")


def made(random: Callable[[int], bytes], valid_from: datetime | None = None) -> NewKey:
    """A new key from a source of random bytes (secrets.token_bytes)."""
    prefix, secret = random(PREFIX_BYTES).hex(), random(SECRET_BYTES).hex()
    kept = ApiKey(prefix=prefix, sha256=_hash(secret), valid_from=valid_from)
    return NewKey(f"tb_{prefix}_{secret}", kept)


def owner(token: str, keys: Mapping[str, tuple[Producer, ApiKey]], now: datetime) -> Producer | None:
    """Whose key it is, if it is one and may be used now. Takes as long for a wrong secret as for an unknown prefix."""
    parts = _KEY.fullmatch(token)
    prefix, secret = parts.groups() if parts else ("", "")
    found = keys.get(prefix)
    is_right = hmac.compare_digest(_hash(secret), found[1].sha256 if found else _NOBODY)
    return found[0] if found and is_right and found[1].is_valid(now) else None


def with_key(text: str, producer_id: str, key: ApiKey) -> str:
    """The producers file with one more key; nothing else of it changes. Raises BadProducers where it cannot be written in."""
    parsed(text)
    root = yaml.compose(text, yaml.BaseLoader)
    nodes = {_value(n, "id").value: n for n in _value(root, "producers").value}
    node = nodes.get(producer_id)
    if node is None:
        raise BadProducers(f"there is no producer {producer_id!r}; there are: {', '.join(nodes)}")
    said = [f"prefix: {key.prefix}", f"sha256: {key.sha256}"]
    if key.valid_from is not None:
        said.append(f"valid_from: {key.valid_from.isoformat()}")
    lines = text.splitlines(keepends=True)
    keys = _value(node, "keys")
    if keys is not None and keys.value and not keys.flow_style and not node.flow_style:
        first, column = keys.start_mark.line, keys.start_mark.column
    elif keys is None and not node.flow_style:
        first, column = _value(node, "id").start_mark.line + 1, node.start_mark.column + 2
        lines.insert(first, " " * node.start_mark.column + "keys:\n")
        first += 1
    else:
        raise BadProducers(f"the keys of {producer_id} are written in brackets; write them a line each, after dashes")
    lines[first:first] = [f"{' ' * column}- {said[0]}\n", *(f"{' ' * (column + 2)}{line}\n" for line in said[1:])]
    changed = "".join(lines)
    after = parsed(changed)
    assert any(p.id == producer_id and key.prefix in {k.prefix for k in p.keys} for p in after.producers)
    return changed


def _value(node: Any, name: str) -> Any:
    """The node under a name of a mapping; None where there is none."""
    return next((value for key, value in node.value if key.value == name), None)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
