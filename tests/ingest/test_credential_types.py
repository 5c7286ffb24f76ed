"""Who is known by what: keys that rotate, roles behind sessions, clients of an issuer. docs/credentials.md."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.attribution.catalog_rules import attribution, source_rules
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder
from schemas.catalog.checks import problems
from schemas.catalog.records import Catalog
from tests.ingest.fixtures import T0_MS, line

ROLE = "arn:aws:iam::444455556666:role/GlobexExport"
SESSION = "arn:aws:sts::444455556666:assumed-role/GlobexExport/nightly"
S3_OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"


def catalog(**credentials: list[dict[str, Any]]) -> Catalog:
    """Partners with these credentials."""
    seller = {"id": "seller", "name": "Seller", "invoice_prefix": "S"}
    made = [
        {"id": name, "name": name, "legal_entity": "seller", "time_zone": "Etc/UTC", "credentials": found}
        for name, found in credentials.items()
    ]
    return Catalog.model_validate({"legal_entities": [seller], "partners": made})


def decoded(book: Catalog, format_name: str, *lines: bytes) -> list[tuple[str, str | None]]:
    """(partner or reason, stored credential) of each line."""
    decoder = Decoder(format_name, source_rules(book, "edge", None), attribution(book))
    got = decoder.decode(split_lines(b"".join(lines), 0), "g")
    rows = [(r["position"], r["partner_id"], r["credential"]) for r in got.events.to_pylist()]
    rows += [(r["position"], r["reason"], None) for r in got.refused.to_pylist()]
    return [(who, credential) for _, who, credential in sorted(rows)]


def apigw(**fields: str) -> bytes:
    record = {"requestId": "r", "routeKey": "GET /", "requestTimeEpoch": str(T0_MS), "status": "200", **fields}
    return line(record)


def cloudtrail(arn: str | None = None, **identity: Any) -> bytes:
    record = {
        "eventID": "e", "eventTime": "2026-10-01T00:00:00Z", "eventSource": "s3.amazonaws.com", "eventName": "GetObject",
        "eventType": "AwsApiCall", "userIdentity": {**({"arn": arn} if arn else {}), **identity},
    }  # fmt: skip
    return line(record)


def s3_access(requester: str) -> bytes:
    text = (
        f'{S3_OWNER} wholesale [01/Oct/2026:00:00:00 +0000] 203.0.113.7 {requester} 3E57427F33A59F07 REST.GET.OBJECT a.csv '
        f'"GET /wholesale/a.csv HTTP/1.1" 200 - 10 10 5 4 "-" "aws-cli" - hostid SigV4 ECDHE AuthHeader b.s3.amazonaws.com TLSv1.2\n'
    )  # fmt: skip
    return text.encode()


def iam(value: str, **more: Any) -> dict[str, Any]:
    return {"kind": "iam", "id": value, **more}


SHOWN = {
    "cloudtrail": cloudtrail,
    "s3_access": s3_access,
    "aws_apigw": lambda arn: apigw(userArn=arn),
}


@pytest.mark.integration
@pytest.mark.sampled(keep=12)
@pytest.mark.parametrize("format_name", SHOWN)
@pytest.mark.parametrize(
    ("listed", "shown", "outcome"),
    [
        pytest.param([ROLE], SESSION, ("acme", ROLE), id="a session is its role"),
        pytest.param(
            ["arn:aws:iam::444455556666:role/partners/eu/GlobexExport"],
            SESSION,
            ("acme", "arn:aws:iam::444455556666:role/partners/eu/GlobexExport"),
            id="also of a role with a path, which the session has lost",
        ),
        pytest.param([SESSION], SESSION, ("acme", SESSION), id="a session that is listed itself"),
        pytest.param([ROLE, SESSION], SESSION, ("acme", SESSION), id="a listed session goes before its role"),
        pytest.param([SESSION], f"{SESSION}-2", ("UNKNOWN_CREDENTIAL", None), id="another session is not it"),
        pytest.param([ROLE], SESSION.replace("Export", "Exporter"), ("UNKNOWN_CREDENTIAL", None), id="another role"),
        pytest.param([ROLE], SESSION.replace("4444", "5555"), ("UNKNOWN_CREDENTIAL", None), id="another account"),
        pytest.param([ROLE], SESSION.replace("arn:aws:", "arn:aws-cn:"), ("UNKNOWN_CREDENTIAL", None), id="another partition"),
        pytest.param(
            [ROLE.replace("arn:aws:", "arn:aws-cn:")],
            SESSION.replace("arn:aws:", "arn:aws-cn:"),
            ("acme", ROLE.replace("arn:aws:", "arn:aws-cn:")),
            id="China",
        ),
        pytest.param(
            [ROLE.replace("arn:aws:", "arn:aws-us-gov:")],
            SESSION.replace("arn:aws:", "arn:aws-us-gov:"),
            ("acme", ROLE.replace("arn:aws:", "arn:aws-us-gov:")),
            id="GovCloud",
        ),
        pytest.param(
            ["arn:aws:iam::444455556666:user/batch"],
            "arn:aws:iam::444455556666:user/batch",
            ("acme", "arn:aws:iam::444455556666:user/batch"),
            id="a user",
        ),
        pytest.param([ROLE], "arn:aws:sts::444455556666:federated-user/GlobexExport", ("UNKNOWN_CREDENTIAL", None), id="a federated user is no role"),
        pytest.param(
            ["arn:aws:sts::444455556666:federated-user/ann"],
            "arn:aws:sts::444455556666:federated-user/ann",
            ("acme", "arn:aws:sts::444455556666:federated-user/ann"),
            id="a federated user",
        ),
        pytest.param(["arn:aws:iam::444455556666:root"], "arn:aws:iam::444455556666:root", ("acme", "arn:aws:iam::444455556666:root"), id="a root"),
        pytest.param(["svc:delivery.logs.amazonaws.com"], "svc:delivery.logs.amazonaws.com", ("acme", "svc:delivery.logs.amazonaws.com"), id="a service"),
    ],
)  # fmt: skip
def test_a_principal_is_known_alike_in_every_format(
    format_name: str, listed: list[str], shown: str, outcome: tuple[str, str | None]
) -> None:
    """Sessions change by the hour; the agreement is about the role."""
    assert decoded(catalog(acme=[iam(value) for value in listed]), format_name, SHOWN[format_name](shown)) == [outcome]


def test_a_session_known_by_the_unique_id_of_its_role_is_that_role() -> None:
    """CloudTrail without an ARN, and API Gateway's `caller`, show AROA…:session."""
    book = catalog(acme=[iam("AROADBQP57FF2AEXAMPLE")])
    shown = "AROADBQP57FF2AEXAMPLE:nightly"
    assert decoded(book, "cloudtrail", cloudtrail(principalId=shown)) == [("acme", "AROADBQP57FF2AEXAMPLE")]
    assert decoded(book, "aws_apigw", apigw(caller=shown)) == [("acme", "AROADBQP57FF2AEXAMPLE")]


def test_a_role_that_was_replaced_by_a_listed_session_stands_in_when_that_is_over() -> None:
    """Validity comes before precedence: an expired session does not hide the role."""
    over = iam(SESSION, valid_to="2026-09-01")
    assert decoded(catalog(acme=[iam(ROLE)], bolt=[over]), "cloudtrail", cloudtrail(SESSION)) == [("acme", ROLE)]


def test_a_role_that_is_known_but_not_valid_then_is_told_from_an_unknown_one() -> None:
    """The remedies differ: fix a date, or add a credential."""
    book = catalog(acme=[iam(ROLE, valid_from="2026-11-01")])
    assert decoded(book, "cloudtrail", cloudtrail(SESSION)) == [("CREDENTIAL_NOT_VALID", None)]


@pytest.mark.parametrize(
    ("at", "key", "outcome"),
    [
        pytest.param("2026-09-30T23:59:59Z", "old", "acme", id="before the new one is given out"),
        pytest.param("2026-10-01T00:00:00Z", "new", "acme", id="both hold: the first instant of the new"),
        pytest.param("2026-10-01T00:00:00Z", "old", "acme", id="both hold: the old"),
        pytest.param("2026-10-07T23:59:59Z", "old", "acme", id="the last second of the old"),
        pytest.param("2026-10-08T00:00:00Z", "old", "CREDENTIAL_NOT_VALID", id="the old is over"),
        pytest.param("2026-10-08T00:00:00Z", "new", "acme", id="the new goes on"),
        pytest.param("2026-09-30T23:59:59Z", "new", "CREDENTIAL_NOT_VALID", id="the new is not yet valid"),
    ],
)
def test_keys_rotate_with_an_overlap(at: str, key: str, outcome: str) -> None:
    """For a week both keys count, each in its own [from, to): a rotation neither loses nor gives away calls."""
    book = catalog(
        acme=[
            {"kind": "api_key", "id": "old", "valid_to": "2026-10-08"},
            {"kind": "api_key", "id": "new", "valid_from": "2026-10-01"},
        ]
    )
    time = str(int(datetime.fromisoformat(at).astimezone(UTC).timestamp()) * 1000)
    ((who, credential),) = decoded(book, "aws_apigw", apigw(apiKeyId=key, requestTimeEpoch=time))
    assert who == outcome
    assert credential == (key if outcome == "acme" else None)


def test_two_roles_of_one_name_are_one_credential() -> None:
    """A role's name is unique in its account, whatever the path: two partners cannot both own it."""
    book = catalog(
        acme=[iam("arn:aws:iam::1:role/a/reader")], bolt=[iam("arn:aws:iam::1:role/b/reader")], core=[iam("arn:aws:iam::2:role/a/reader")]
    )  # fmt: skip
    assert [p.where for p in problems(book)] == [("partners", 1, "credentials", 0)]


CLAIMS = {
    "aws_apigw": ("iss", "azp", "client_id", "sub"),
    "nginx": ("jwt_claim_iss", "jwt_claim_azp", "jwt_claim_client_id", "jwt_claim_sub"),
}


@pytest.mark.integration
@pytest.mark.parametrize("format_name", CLAIMS)
@pytest.mark.parametrize(
    ("claims", "client"),
    [
        pytest.param({"azp": "a", "client_id": "c", "sub": "s"}, "a", id="azp goes first"),
        pytest.param({"client_id": "c", "sub": "s"}, "c", id="then client_id"),
        pytest.param({"sub": "s"}, "s", id="then sub"),
        pytest.param({"azp": "-", "sub": "s"}, "s", id="what is absent is passed over"),
        pytest.param({}, None, id="an issuer alone"),
    ],
)
def test_the_client_of_a_token_is_its_azp_or_client_id_or_sub(
    format_name: str, claims: dict[str, str], client: str | None
) -> None:
    """In the same order everywhere: a token is the same credential at every gateway."""
    issuer, *names = CLAIMS[format_name]
    shown = {
        issuer: "https://id.example",
        **{n: claims[k] for k, n in zip(("azp", "client_id", "sub"), names, strict=True) if k in claims},
    }
    lines = {
        "aws_apigw": lambda: apigw(**shown),
        "nginx": lambda: line(
            {"time_iso8601": "2026-10-01T00:00:00+00:00", "status": "200", "request_uri": "/", **shown}
        ),
    }
    listed = [{"kind": "oidc", "issuer": "https://id.example", **({"client_id": client} if client else {})}]
    name = f"https://id.example#{client}" if client else "https://id.example"
    assert decoded(catalog(acme=listed), format_name, lines[format_name]()) == [("acme", name)]
