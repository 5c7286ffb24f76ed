"""The key of a lake, and the hashes of refused credentials by it (docs/decisions/026-refused-credentials.md)."""

import hashlib
import hmac
import secrets

import pyarrow as pa

from lake.errors import LakeError
from lake.storage.store import Store, exists

KEY = "tollbook-lake.key"  # secret, of this lake alone
_KEY_BYTES = 32


def hashes(store: Store, credentials: pa.Array) -> pa.Array:
    """The hash of each credential by the lake's key, HMAC-SHA256 in hex; null where there is none.

    Without the key nobody can test which credential a hash belongs to. A lake that has lost its key gets another one;
    the same credential then has another hash than before.
    """
    if credentials.null_count == len(credentials):
        return pa.nulls(len(credentials), pa.string())
    key = _key(store)
    coded = credentials.dictionary_encode()
    found = [hmac.new(key, name.encode(), hashlib.sha256).hexdigest() for name in coded.dictionary.to_pylist()]
    return pa.array(found, pa.string()).take(coded.indices)


def encoded(key: bytes) -> bytes:
    """A key as its file holds it."""
    return (key.hex() + "\n").encode()


def _key(store: Store) -> bytes:
    """The lake's key, made if there is none. Of two workers that make it, one is first, and both use that one's key."""
    if not exists(store, KEY):
        store.create(KEY, encoded(secrets.token_bytes(_KEY_BYTES)), secret=True)
    remedy = "restore it from a backup, or delete it to have another one made"
    try:
        key = bytes.fromhex(store.read(KEY).decode())
    except (OSError, ValueError) as exc:
        raise LakeError(f"{store.named(KEY)} cannot be read ({exc}); {remedy}") from exc
    if len(key) != _KEY_BYTES:
        raise LakeError(f"{store.named(KEY)} is cut short; {remedy}")
    return key
