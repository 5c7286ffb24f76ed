"""JWTs of the issuers in the producers file, verified with the keys that each issuer publishes (JWKS, RFC 7517).

The rule that must hold: nothing in a token decides how it is verified. `iss` selects a configured issuer, `kid` one of
that issuer's keys, and `alg` must be allowed for the issuer and fit the key. `jku`, `x5u`, `jwk` and the like are
ignored.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from ingest.http.producers import Issuer

TOKEN_CHARACTERS_MAX = 8192
KID_CHARACTERS_MAX = 256
LEEWAY_S = 60
FRESH_S = 600.0  # how long keys are used without a fetch
STALE_S = 3600.0  # how long, if the issuer does not respond; then all tokens are refused
REFETCH_S = 60.0  # minimum time between two fetches
KEYS_MAX = 100
RSA_BITS = range(2048, 8193)
_KEY_TYPES = {"RS": ("RSA", None), "PS": ("RSA", None), "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521")}  # fmt: skip

Key = RSAKey | ECKey
Fetch = Callable[[Issuer], Awaitable[bytes]]  # raises FetchFailed


class BadToken(Exception):
    """The token is not valid. The message is for the log, not for the client."""


class FetchFailed(Exception):
    """The issuer's keys could not be fetched."""


class KeysUnavailable(Exception):
    """The issuer's keys could not be fetched for too long: no token can be verified."""


class IssuerKeys:
    """The keys of one issuer, fetched on demand and used for a limited time."""

    def __init__(self, issuer: Issuer, fetch: Fetch, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> Key:
        """The key with an id. Raises BadToken if there is none, KeysUnavailable if that cannot be determined."""
        if self._is_older_than(FRESH_S) or kid not in self._keys:
            async with self._fetching:
                if (self._is_older_than(FRESH_S) or kid not in self._keys) and self._may_fetch():
                    await self._refresh()
        if self._is_older_than(STALE_S):
            raise KeysUnavailable(self._issuer.issuer)
        if kid not in self._keys:
            raise BadToken("unknown kid")
        return self._keys[kid]

    def _is_older_than(self, limit_s: float) -> bool:
        return self._fetched_s is None or self._clock() - self._fetched_s >= limit_s

    def _may_fetch(self) -> bool:
        return self._tried_s is None or self._clock() - self._tried_s >= REFETCH_S

    async def _refresh(self) -> None:
        self._tried_s = self._clock()
        try:
            self._keys = usable_keys(await self._fetch(self._issuer))
        except FetchFailed:
            return  # the current keys stay in use until they are stale
        self._fetched_s = self._clock()


class Verifier:
    """All issuers. `client` returns the client that a token was issued to."""

    def __init__(
        self, issuers: tuple[Issuer, ...], fetch: Fetch, clock: Callable[[], float], before: "Verifier | None" = None
    ) -> None:
        """`before`: the verifier that this one replaces; the keys of unchanged issuers are taken over."""
        kept = before._issuers if before else {}
        self._issuers: dict[str, tuple[Issuer, IssuerKeys]] = {}
        for issuer in issuers:
            old = kept.get(issuer.issuer)
            self._issuers[issuer.issuer] = (
                old if old and old[0] == issuer else (issuer, IssuerKeys(issuer, fetch, clock))
            )

    async def client(self, token: str, now: datetime) -> tuple[str, str]:
        """Issuer and client of a token that is valid at `now`. Raises BadToken, KeysUnavailable."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise BadToken("the token is too long")
        try:
            parts = jws.extract_compact(token.encode())
        except (JoseError, ValueError, RecursionError) as exc:
            raise BadToken("not a JWT") from exc
        claims = _object(parts.payload)
        known = self._issuers.get(_text(claims.get("iss")) or "")
        if known is None:
            raise BadToken("unknown iss")
        issuer, keys = known
        header = parts.protected
        algorithm, kid = header.get("alg"), _text(header.get("kid"))
        if algorithm not in issuer.algorithms:
            raise BadToken("the algorithm is not allowed for the issuer")
        if kid is None or len(kid) > KID_CHARACTERS_MAX:
            raise BadToken("no kid")
        key = await keys.key(kid)
        if not fits(key, algorithm):
            raise BadToken("the key does not fit the algorithm")
        try:
            jws.deserialize_compact(token.encode(), key, algorithms=[algorithm])
        except (JoseError, ValueError) as exc:
            raise BadToken("the signature is invalid") from exc
        return issuer.issuer, _checked(claims, issuer, int(now.timestamp()))


def usable_keys(document: bytes) -> dict[str, Key]:
    """The signature keys of a JWKS that have a kid: RSA from 2,048 bits, and EC. Raises FetchFailed."""
    keys: dict[str, Key] = {}
    try:
        listed = _object(document)["keys"]
        if not isinstance(listed, list) or len(listed) > KEYS_MAX:
            raise FetchFailed("no list of keys, or too many")
        for fields in listed:
            key = _key(fields) if isinstance(fields, dict) else None
            if key is not None:
                keys[fields["kid"]] = key
    except (BadToken, KeyError) as exc:
        raise FetchFailed("no JWKS") from exc
    return keys


def fits(key: Key, algorithm: str) -> bool:
    """Whether a key fits an algorithm: by type and curve, and by the key's own `alg`, if it has one."""
    kind, curve = _KEY_TYPES.get(algorithm[:2]) or _KEY_TYPES[algorithm]
    fields = key.as_dict(private=False)
    return (
        fields["kty"] == kind
        and fields.get("alg", algorithm) == algorithm
        and (curve is None or fields["crv"] == curve)
    )


def _key(fields: Mapping[str, Any]) -> Key | None:
    if not isinstance(fields.get("kid"), str) or fields.get("use", "sig") != "sig":
        return None
    public = {name: value for name, value in fields.items() if name in {"kty", "kid", "alg", "n", "e", "crv", "x", "y"}}
    try:
        if fields.get("kty") == "RSA":
            return RSAKey.import_key(public) if _bits(public["n"]) in RSA_BITS else None
        return ECKey.import_key(public) if fields.get("kty") == "EC" else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _bits(number: str) -> int:
    """The length in bits of a number in a JWK."""
    return int.from_bytes(base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))).bit_length()


def _checked(claims: Mapping[str, Any], issuer: Issuer, now_s: int) -> str:
    """The client that the claims name. Times are numbers of seconds."""
    audience = claims.get("aud")
    if issuer.audience not in (audience if isinstance(audience, list) else [audience]):
        raise BadToken("wrong aud")
    expires = _seconds(claims, "exp")
    if expires is None:
        raise BadToken("no exp")
    if now_s >= expires + LEEWAY_S:
        raise BadToken("expired")
    if expires > now_s + issuer.lifetime_max_s + LEEWAY_S:
        raise BadToken("exp is too far in the future")
    for name in ("nbf", "iat"):
        begins = _seconds(claims, name)
        if begins is not None and begins > now_s + LEEWAY_S:
            raise BadToken(f"{name} is in the future")
    client = _text(claims.get(issuer.client_claim))
    if not client:
        raise BadToken(f"no {issuer.client_claim}")
    return client


def _seconds(claims: Mapping[str, Any], name: str) -> int | float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"{name} is not a number")
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _refuse_constant(constant: str) -> Any:
    raise ValueError(constant)


def _object(document: bytes | None) -> dict[str, Any]:
    try:
        value = json.loads(
            document or b"", parse_constant=_refuse_constant
        )  # an `exp` that is no number would never be reached
    except (ValueError, RecursionError) as exc:
        raise BadToken("no JSON") from exc
    if not isinstance(value, dict):
        raise BadToken("no JSON object")
    return value
