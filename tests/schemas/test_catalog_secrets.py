"""A secret in the place of an id is refused, and not repeated; ids that gateways make are let pass."""

import pytest

from schemas.catalog import secrets
from schemas.catalog.checks import doubts, problems
from schemas.catalog.records import Catalog

# Put together here, so that no scanner takes this file for a leak.
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"
APIGW_VALUE = "mB3xQ9tLk2Vn8RzWc4Yp" + "7HsJd1FgT6aUeXo5NiKq"
TOKEN = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiJhIn0.c2ln"


def of(credential: dict[str, str]) -> Catalog:
    partner = {"id": "p", "name": "P", "legal_entity": "l", "time_zone": "Etc/UTC", "credentials": [credential]}
    return Catalog.model_validate({"partners": [partner]})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(AWS_SECRET, "AWS secret access key", id="an AWS secret"),
        pytest.param(APIGW_VALUE, "value of an API key", id="the value of a key of API Gateway"),
        pytest.param(TOKEN, "a JWT", id="a token"),
        pytest.param(TOKEN.rpartition(".")[0] + ".", "a JWT", id="a token without its signature"),
        pytest.param("Bearer abc", "Authorization header", id="a header"),
        pytest.param("basic YTpi", "Authorization header", id="another header"),
        pytest.param("tb_0123456789ab_" + "0" * 64, "a Tollbook key", id="a key of ours"),
        pytest.param("sk_live_" + "4eC39HqLyjWD", "an access token", id="a live key"),
        pytest.param("ghp_" + "x" * 36, "an access token", id="a token of a forge"),
        pytest.param("-----BEGIN " + "PRIVATE KEY-----\nMIIE", "a PEM key", id="a private key"),
        pytest.param("https://user:pw@id.example/", "a URL with a password", id="an address with a password"),
    ],
)
def test_what_can_only_be_a_secret_is_refused_and_not_repeated(text: str, says: str) -> None:
    """The catalog is in git, in every close, and on the terminal of whoever checks it."""
    for given in ({"kind": "api_key", "id": text}, {"kind": "oidc", "issuer": "https://i", "client_id": text}):
        (found,) = problems(of(given), whole=False)
        assert found.where == ("partners", 0, "credentials", 0, list(given)[-1])
        assert says in found.message
        assert "revoke and replace it" in found.message
        assert text not in found.message


@pytest.mark.parametrize(
    "text",
    [
        "k9x2m4p6q8",
        "7d4c1f0e-52b1-4a55-9f2e-0c6a1b9e4d21",
        "AKIAIOSFODNN7EXAMPLE",
        "AROADBQP57FF2AEXAMPLE",
        "arn:aws:iam::444455556666:role/partners/GlobexExport",
        "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
        "356a192b7913b04c54574d18c28d46e6395428ab",
        "svc:delivery.logs.amazonaws.com",
        "spiffe://cluster.local/ns/partners/sa/acme",
        "partner-acme-production-client-2026",
        "tb_acme",
        "https://login.globex.example:8443/oauth2",
    ],
)
def test_ids_are_no_secrets(text: str) -> None:
    """Key ids, UUIDs, unique ids, ARNs, canonical ids, SHA-1 and SHA-256, SPIFFE ids, names."""
    assert secrets.refused(text) is None
    assert not secrets.is_doubted(text)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param("api_key", 1, id="a key"),
        pytest.param("consumer", 1, id="a consumer"),
        pytest.param("iam", 0, id="no key"),
    ],
)
def test_what_may_be_a_key_is_pointed_out_and_not_repeated(kind: str, number: int) -> None:
    """Kong's generated key has 32 random characters; so have ids at some gateways, which therefore are not refused."""
    key = "Zk3Qv8LmT2xR" + "w9NcJ5yHb7PdF1sGaU4e"
    warnings = doubts(of({"kind": kind, "id": key}))
    assert len(warnings) == number
    assert key not in "".join(warnings)
    assert key[4:] not in "".join(warnings)
