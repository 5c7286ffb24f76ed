"""A secret that stands in any place, in any shape, of any format is in no event and in no dead letter: also where the line is cut."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.decode import formats, statements
from tests.ingest.test_cloud_formats import decode

CANARY = "canary7f3a"
NUMBER = 7312904475  # of a password that is a number
NAMES = [
    "X-Api-Key", "apikey", "api_key", "x-api-keys", "Authorization", "proxy-authorization", "Cookie", "set-cookie", "Set-Cookie2",
    "password", "passwd", "db_password", "password2", "client_secret", "secretKey", "x-client-secret-2", "access_token", "refreshToken",
    "idTokens", "X-Amz-Security-Token", "X-Amz-Signature", "x-auth", "Ocp-Apim-Subscription-Key", "x-functions-key", "private_key",
    "accessKey", "jwt", "passphrase", "pwd", "session_id", "PHPSESSID", "x-csrf-token", "SAMLResponse", "client_assertion",
    "body", "request_body", "responseBody", "raw_request", "query", "queryString", "http.request.header.x-api-key", "url.query",
]  # fmt: skip


def shapes(secret: Any) -> list[Any]:
    """What a gateway may write of a header, a cookie jar or a body."""
    return [
        secret, [secret], [[secret]], ["", secret, None], {"value": secret}, {"a": {"b": [{"c": secret}]}}, [{"stringValue": secret}],
        {"a": 1, "b": secret, "c": 2}, f"sid={secret}; theme=dark", f'say "{secret}", {{[ and \\', [1.5, True, secret], {secret: 1},
        {"a": [[[[[[[[secret]]]]]]]]},
    ]  # fmt: skip


def members(name: str, value: Any) -> Iterator[str]:
    """A member, or what says the same: as pairs, twice, with escapes, in another case, as JSON within a text."""
    text = json.dumps(value)
    plain = json.dumps({name: value})
    escaped = "".join(f"\\u{ord(c):04x}" for c in name[:1]) + name[1:]
    yield f'"{name}":{text}'
    yield f'"{name.upper()}" : \t{text}'
    yield f'"{escaped}":{text}'
    yield f'"{name}":"x","{name}":{text},"{name}":""'
    yield f'"headers":{{"host":"h","{name}":{text},"via":"1.1"}}'
    yield f'"headers":[["host","h"],["{name}",{text}]]'
    yield f'"headers":["host","h","{name}",{text},"via","1.1"]'
    yield f'"headers":[{{"name":"host","value":"h"}},{{"name":"{name}","value":{text}}}]'
    yield f'"headers":[{{"value":{text},"key":"{name}"}}]'
    yield f'"headers":[{{"key":"{name}","type":"string","value":{text}}}]'
    yield f'"message":{json.dumps(plain)}'
    yield f'"message":{json.dumps(json.dumps({"inner": plain}))}'


TEXTS = [
    f"GET /v1/x?token={CANARY} HTTP/1.1", f"/v1/x?a={CANARY}", f"https://user:{CANARY}@host.example/x", f"postgres://u:p%40{CANARY}@db/x",
    f"https://{CANARY}@host/x", f"http:\\/\\/u:{CANARY}@h/", f"Bearer {CANARY}", f"Basic {CANARY}Zm9v", f"password={CANARY}", f"password = '{CANARY} x'",
    f"a=1&client_secret={CANARY}&b=2", f"X-Api-Key: {CANARY}", f"Authorization: ApiKey {CANARY} {CANARY}", f"Cookie: a=b; sid={CANARY}",
    f"/x;jsessionid={CANARY}", f"eyJhbGciOi.eyJ{CANARY}.c2ln", f"tb_0123456789ab_{CANARY}", f"sk_live_{CANARY}", f"-----BEGIN KEY----- {CANARY}",
    f"GET /x?a=b {CANARY} HTTP/1.1",
]  # fmt: skip


def masked(lines: list[str]) -> list[str]:
    with statements.connect() as con:
        return [row[0] for row in con.execute("SELECT masked(unnest($lines))", {"lines": lines}).fetchall()]


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_member_is_struck_out_in_every_shape(name: str) -> None:
    """Values that are lists, objects and numbers were kept, and so were names with escapes and pairs of a name and a value."""
    lines = [
        f'{{"status":200,{member},"route":"/v1/orders"}}'
        for secret in (CANARY, NUMBER)
        for shape in shapes(secret)
        for member in members(name, shape)
        if secret is CANARY or not isinstance(shape, dict) or secret not in shape
    ]
    kept = masked(lines)
    leaks = [(line, out) for line, out in zip(lines, kept, strict=True) if CANARY in out or str(NUMBER) in out]
    assert leaks == []
    assert all('"status":200' in out for out in kept), "what stands before it stays"


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_in_a_text_is_struck_out(text: str) -> None:
    """In a text line, in a member of JSON that has no telling name, and in JSON within a text."""
    inner = json.dumps({"status": 200, "request": text})
    lines = [
        text,
        f'1.2.3.4 - - [01/Oct/2026:00:00:00 +0000] "{text}" 200 5',
        inner,
        json.dumps({"message": inner}),
        f"a=1 msg={json.dumps(text)} b=2",
    ]
    assert [out for out in masked(lines) if CANARY in out] == []


def test_a_cut_takes_no_secret_along() -> None:
    """Wherever a line ends."""
    whole = [
        f'{{"status":200,{member},"route":"r"}}'
        for name in ("X-Api-Key", "body")
        for shape in shapes(CANARY)
        for member in members(name, shape)
    ]
    cut = [line[:end] for line in whole for end in range(20, len(line), 3)]
    assert [out for out in masked(cut) if CANARY in out] == []


def test_what_holds_no_secret_stays() -> None:
    """By these a person finds the request, and mends the catalog."""
    line = json.dumps({
        "api_key_id": "k-17", "apiKeyId": "k-17", "consumer": {"id": "c-9"}, "token_type": "x", "body_bytes_sent": 512, "request_body_size": 7,
        "route": "/v1/authors/{id}", "principalId": "AROA1:s", "user_agent": "curl/8", "requestId": "r-1", "keys": 3, "author": "ann",
    })  # fmt: skip
    assert masked([line]) == [line]


@pytest.mark.sampled(keep=8)
@pytest.mark.parametrize("format_name", formats.names())
def test_no_format_keeps_a_secret_of_what_it_refuses(format_name: str) -> None:
    """Lines of no format's own, with a secret somewhere: each is refused, and its letter does not hold it."""
    some = random.Random(format_name)
    lines = [
        f'{{"timestamp":"now","id":"i{n}",{some.choice(list(members(some.choice(NAMES), some.choice(shapes(CANARY)))))},"note":{json.dumps(some.choice(TEXTS))}}}'
        for n in range(40)
    ]  # fmt: skip
    decoded = decode(format_name, *(line.encode() for line in lines))
    assert decoded.refused.num_rows + decoded.events.num_rows >= len(lines) - 1
    assert CANARY not in repr(decoded.events.to_pylist())
    assert [row for row in decoded.refused.to_pylist() if CANARY in repr(row)] == []
