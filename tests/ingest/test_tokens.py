"""Tokens: everything that is known to have let strangers in elsewhere is tried here, and lets nobody in.

Real keys and real signatures; only the fetch of an issuer's keys is a function of the test, so that it can be counted.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from ingest.http.producers import Issuer
from ingest.http.tokens import (
    FRESH_S,
    LEEWAY_S,
    REFETCH_S,
    STALE_S,
    BadToken,
    FetchFailed,
    KeysUnavailable,
    Verifier,
    fits,
)

NOW = datetime(2026, 10, 1, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
EC384 = ECKey.generate_key("P-384", {"kid": "ec384"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SecurityWarning)
    WEAK = RSAKey.generate_key(1024, {"kid": "weak"})
ISS, AUD = "https://id.example", "https://tollbook.example"
ISSUER = Issuer(issuer=ISS, audience=AUD, jwks_url="https://id.example/keys", algorithms=("RS256", "ES256"))
ISSUER_2 = Issuer(
    issuer="https://two.example", audience=AUD, jwks_url="https://two.example/keys", algorithms=("ES384",)
)
CLAIMS = {"iss": ISS, "aud": AUD, "azp": "client-1", "exp": NOW_S + 300, "iat": NOW_S}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def public(*keys: RSAKey | ECKey) -> list[dict[str, Any]]:
    return [dict(key.as_dict(private=False)) for key in keys]


class Published:
    """What issuers publish, and how often they were asked."""

    def __init__(self, **keys: list[dict[str, Any]]) -> None:
        self.documents: dict[str, bytes | None] = {
            ISS: json.dumps({"keys": public(RSA, EC, WEAK)}).encode(),
            ISSUER_2.issuer: json.dumps({"keys": public(EC384)}).encode(),
        }
        self.asked: list[str] = []

    async def fetch(self, issuer: Issuer) -> bytes:
        self.asked.append(issuer.jwks_url)
        document = self.documents[issuer.issuer]
        if document is None:
            raise FetchFailed("away")
        return document


def verifier(published: Published | None = None, clock: Callable[[], float] | None = None) -> Verifier:
    return Verifier((ISSUER, ISSUER_2), (published or Published()).fetch, clock or Clock())


def signed(header: dict[str, Any] | None = None, key: RSAKey | ECKey = RSA, **claims: Any) -> str:
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    head = {"alg": "RS256", "kid": "rsa"} | (header or {})
    head = {name: value for name, value in head.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
    return jws.serialize_compact(head, json.dumps(said), key, registry=registry)


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def client(token: str, by: Verifier | None = None) -> tuple[str, str]:
    return asyncio.run((by or verifier()).client(token, NOW))


PEM = RSA.as_pem(private=False)


def hs256(secret: bytes, kid: str = "rsa") -> str:
    text = f"{b64({'alg': 'HS256', 'kid': kid})}.{b64(CLAIMS)}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def test_good_tokens_name_their_client() -> None:
    """Otherwise the refusals below would prove nothing."""
    assert client(signed()) == (ISS, "client-1")
    assert client(signed({"alg": "ES256", "kid": "ec"}, EC)) == (ISS, "client-1")
    assert client(signed({"alg": "ES384", "kid": "ec384"}, EC384, iss=ISSUER_2.issuer)) == (ISSUER_2.issuer, "client-1")
    assert client(signed(aud=["x", AUD])) == (ISS, "client-1")


GOOD = signed()
HEAD, BODY, SIGNATURE = GOOD.split(".")
ATTACKS = {
    # S11
    "alg none": f"{b64({'alg': 'none', 'kid': 'rsa'})}.{BODY}.",
    "alg None": f"{b64({'alg': 'None', 'kid': 'rsa'})}.{BODY}.",
    "alg none with a signature": f"{b64({'alg': 'none', 'kid': 'rsa'})}.{BODY}.{SIGNATURE}",
    "no alg": f"{b64({'kid': 'rsa'})}.{BODY}.{SIGNATURE}",
    "alg is a list": f"{b64({'alg': ['RS256'], 'kid': 'rsa'})}.{BODY}.{SIGNATURE}",
    "HS256 signed with the public key": hs256(PEM),
    "HS256 signed with the JWK": hs256(json.dumps(public(RSA)[0]).encode()),
    "empty signature": f"{HEAD}.{BODY}.",
    "another's signature": signed(key=STRANGER),
    "changed claims": f"{HEAD}.{b64(CLAIMS | {'azp': 'client-2'})}.{SIGNATURE}",
    "RS256 said of an EC key": signed({"kid": "ec"}),
    "ES256 said of an RSA key": signed({"alg": "ES256", "kid": "rsa"}, EC),
    "PS256, not pinned": signed({"alg": "PS256"}),
    "RS512, not pinned": signed({"alg": "RS512"}),
    "ES384 of another issuer": signed({"alg": "ES384", "kid": "ec384"}, EC384),
    "a key of 1,024 bits": None,
    # S12
    "kid is a path": signed({"kid": "../../../dev/null"}),
    "kid is SQL": signed({"kid": "' OR 1=1 --"}),
    "kid of 10 KB": signed({"kid": "k" * 10_000}),
    "kid unknown": signed({"kid": "nobody"}),
    "kid a number": f"{b64({'alg': 'RS256', 'kid': 1})}.{BODY}.{SIGNATURE}",
    "no kid": signed({"kid": None}),
    # S13: the key that signed it comes with it
    "jwk in the header": signed({"jwk": public(STRANGER)[0]}, STRANGER),
    "jku in the header": signed({"jku": "https://evil.example/keys"}, STRANGER),
    "x5u in the header": signed({"x5u": "https://evil.example/cert"}, STRANGER),
    "crit that nobody knows": f"{b64({'alg': 'RS256', 'kid': 'rsa', 'crit': ['x'], 'x': 1})}.{BODY}.{SIGNATURE}",
    # S14
    "another iss": signed(iss="https://evil.example"),
    "iss with a slash more": signed(iss=ISS + "/"),
    "iss a list": signed(iss=[ISS]),
    "no iss": signed(iss=None),
    "another aud": signed(aud="https://other.example"),
    "no aud": signed(aud=None),
    "aud a part": signed(aud=AUD[:-1]),
    "no exp": signed(exp=None),
    "exp a text": signed(exp=str(NOW_S + 300)),
    "exp true": signed(exp=True),
    "exp null": f"{HEAD}.{b64(CLAIMS | {'exp': None})}.{SIGNATURE}",
    "exp NaN": signed(exp=float("nan")),
    "exp infinite": signed(exp=float("inf")),
    "expired 60 s ago": signed(exp=NOW_S - LEEWAY_S),
    "exp in ten years": signed(exp=NOW_S + 10 * 365 * 86_400),
    "nbf in 61 s": signed(nbf=NOW_S + LEEWAY_S + 1),
    "iat in 61 s": signed(iat=NOW_S + LEEWAY_S + 1),
    "nbf a text": signed(nbf="0"),
    "no client": signed(azp=None),
    "client a number": signed(azp=5),
    "client empty": signed(azp=""),
    # Forms
    "nothing": "", "dots": "..", "a word": "hello", "four parts": GOOD + ".x", "five parts, as if encrypted": "a.b.c.d.e",
    "10 KB": signed(note="x" * 10_000), "not base64": f"{HEAD}.{BODY}.***", "not UTF-8": f"{b64(bytes([255]))}.{BODY}.{SIGNATURE}",
    "header a list": f"{b64([1])}.{BODY}.{SIGNATURE}", "claims a list": f"{HEAD}.{b64([1])}.{SIGNATURE}", "claims no JSON": f"{HEAD}.{b64(b'x')}.{SIGNATURE}",
    "claims deep": f"{HEAD}.{b64(b'[' * 5000)}.{SIGNATURE}", "header deep": f"{b64(b'[' * 5000)}.{BODY}.{SIGNATURE}",
    "no ASCII": "é.é.é",
}  # fmt: skip
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SecurityWarning)
    ATTACKS["a key of 1,024 bits"] = signed({"kid": "weak"}, WEAK)


@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_is_let_in_by(name: str) -> None:
    """S11 to S14, and RFC 8725."""
    token = ATTACKS[name]
    assert token is not None
    with pytest.raises(BadToken):
        client(token)


def test_a_key_is_for_its_own_algorithms() -> None:
    """The library refuses other algorithms, too; this must not depend on one release of it."""
    said = RSAKey.import_key(public(RSA)[0] | {"alg": "PS256"})
    assert [a for a in ("RS256", "PS256", "ES256") if fits(RSA, a)] == ["RS256", "PS256"]
    assert [a for a in ("RS256", "ES256", "ES384") if fits(EC, a)] == ["ES256"]
    assert [a for a in ("RS256", "PS256") if fits(said, a)] == ["PS256"]


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    """The last moment at which a token is valid; one second later is among the attacks."""
    assert client(signed(exp=NOW_S - LEEWAY_S + 1))
    assert client(signed(nbf=NOW_S + LEEWAY_S, iat=NOW_S + LEEWAY_S))


def test_a_token_chooses_no_address() -> None:
    """S13: whatever it contains, only the configured address is requested."""
    published = Published()
    by = verifier(published)
    for name in ("jku in the header", "x5u in the header", "jwk in the header"):
        token = ATTACKS[name]
        assert token is not None
        with pytest.raises(BadToken):
            client(token, by)
    assert set(published.asked) == {ISSUER.jwks_url}


def test_a_flood_of_unknown_kids_asks_once_a_minute() -> None:
    """S15: an unknown client must not make us flood the issuer, nor delay valid tokens."""
    published, clock = Published(), Clock()

    async def flood() -> None:
        by = verifier(published, clock)
        await by.client(signed(), NOW)
        clock.now_s += REFETCH_S
        for second in range(120):
            tokens = [signed({"kid": f"{second}-{i}"}) for i in range(3)]
            results = await asyncio.gather(*(by.client(t, NOW) for t in tokens), return_exceptions=True)
            assert all(isinstance(r, BadToken) for r in results)
            clock.now_s += 1
        assert await by.client(signed(), NOW)

    asyncio.run(flood())
    assert len(published.asked) == 1 + 2


def test_a_new_key_is_found_when_it_is_first_used() -> None:
    """S16, rotation: the issuer publishes a new key and uses it at once; the old one goes with the next fetch."""
    published, clock = Published(), Clock()
    new = RSAKey.generate_key(2048, {"kid": "new"})

    async def rotate() -> None:
        by = verifier(published, clock)
        await by.client(signed(), NOW)
        published.documents[ISS] = json.dumps({"keys": public(new)}).encode()
        clock.now_s += REFETCH_S
        assert await by.client(signed({"kid": "new"}, new), NOW)
        with pytest.raises(BadToken):
            await by.client(signed(), NOW)

    asyncio.run(rotate())
    assert len(published.asked) == 2


def test_keys_are_used_for_a_stated_time_without_their_issuer_and_then_no_more() -> None:
    """S16: an outage of less than an hour has no effect; after that, all tokens are refused until the issuer is back."""
    published, clock = Published(), Clock()

    async def outage() -> None:
        by = verifier(published, clock)
        await by.client(signed(), NOW)
        clock.now_s += FRESH_S
        kept, published.documents[ISS] = published.documents[ISS], None
        assert await by.client(signed(), NOW)
        clock.now_s += STALE_S - FRESH_S - 1
        assert await by.client(signed(), NOW)
        clock.now_s += 1
        with pytest.raises(KeysUnavailable):
            await by.client(signed(), NOW)
        published.documents[ISS] = kept
        clock.now_s += REFETCH_S
        assert await by.client(signed(), NOW)

    asyncio.run(outage())


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 5}', b"x" * 999, b'{"keys": [' + b"{}," * 100 + b"{}]}", b"[" * 10_000],
    ids=["nothing", "a list", "no keys", "a number", "no JSON", "101 keys", "deep"],
)
def test_what_is_no_key_set_changes_nothing(document: bytes) -> None:
    """A proxy's error page instead of the keys is an outage, not an empty set."""
    published, clock = Published(), Clock()

    async def broken() -> None:
        by = verifier(published, clock)
        await by.client(signed(), NOW)
        published.documents[ISS] = document
        clock.now_s += FRESH_S
        assert await by.client(signed(), NOW)

    asyncio.run(broken())
    assert len(published.asked) == 2


def test_keys_that_are_not_for_signatures_are_not_used() -> None:
    """Keys for encryption, symmetric keys, other algorithms and nonsense are ignored; valid keys beside them are used."""
    rsa = public(RSA)[0]
    odd = [
        rsa | {"kid": "enc", "use": "enc"},
        {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"},
        rsa | {"kid": "ps", "alg": "PS256"},
        {"kty": "RSA", "kid": "x"},
        {"kty": "EC", "kid": "y", "crv": "P-999", "x": "a", "y": "b"},
        5,
    ]
    published = Published()
    published.documents[ISS] = json.dumps({"keys": [*odd, rsa]}).encode()
    by = verifier(published)
    for kid in ("enc", "oct", "ps", "x", "y"):
        with pytest.raises(BadToken):
            client(signed({"kid": kid}), verifier(published))
    assert client(signed(), by)


def test_new_producers_keep_the_keys_of_issuers_that_stay() -> None:
    """A reload of the file must neither cause a flood of fetches nor drop keys that bridge an outage."""
    published, clock = Published(), Clock()

    async def reload() -> None:
        by = verifier(published, clock)
        await by.client(signed(), NOW)
        changed = ISSUER.model_copy(update={"audience": "another"})
        assert await Verifier((ISSUER,), published.fetch, clock, by).client(signed(), NOW)
        with pytest.raises(BadToken):
            await Verifier((changed,), published.fetch, clock, by).client(signed(), NOW)

    asyncio.run(reload())
    assert len(published.asked) == 2
