"""The producers file and API keys: what may stand in it, what proves whom, and that no secret is kept."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from ingest.http import api_keys
from ingest.http.producers import ApiKey, BadProducers, Producers, parsed

NOW = datetime(2026, 10, 1, tzinfo=UTC)
MINIMAL = "producers:\n  - id: gate\n    source: edge\n"
ISSUER = {"issuer": "https://id.example", "audience": "tollbook", "jwks_url": "https://id.example/keys", "algorithms": ["ES256"]}  # fmt: skip


def producers(**changes: Any) -> dict[str, Any]:
    return {"producers": [{"id": "gate", "source": "edge"} | changes]}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        pytest.param([], "must be a mapping", id="no mapping"),
        pytest.param({}, "producers: Field required", id="nobody"),
        pytest.param(producers(souce="x"), "Extra inputs", id="a slip of the pen"),
        pytest.param(producers(source="a/b"), "without slashes", id="a source with a slash"),
        pytest.param(producers(source="a\nb"), "printable", id="a source of two lines"),
        pytest.param(producers(id="Gate"), "pattern", id="an id in capitals"),
        pytest.param(producers(formats=["klingon"]), "unknown format 'klingon'", id="an unknown format"),
        pytest.param(producers(keys=[{"prefix": "0" * 12, "sha256": "tb_secret"}]), "pattern", id="a key instead of its hash"),
        pytest.param(producers(keys=[{"prefix": "0" * 12, "sha256": "0" * 64, "valid_to": "2026-01-01T00:00:00"}]), "zone", id="an instant without zone"),
        pytest.param(producers(clients=[{"issuer": "https://x", "client": "c"}]), "not among `issuers`", id="a client of nobody"),
        pytest.param({"producers": [{"id": "a", "source": "s"}, {"id": "b", "source": "s"}]}, "source 's' occurs twice", id="two with one source"),
        pytest.param({"producers": [{"id": "a", "source": "s"}] * 2}, "producer id 'a' occurs twice", id="one id twice"),
        pytest.param(producers(keys=[{"prefix": "0" * 12, "sha256": "0" * 64}] * 2), "occurs twice", id="one prefix twice"),
        pytest.param(producers() | {"issuers": [ISSUER | {"jwks_url": "http://id.example/keys"}]}, "must be https", id="keys without TLS"),
        pytest.param(producers() | {"issuers": [ISSUER | {"jwks_url": "https://u:p@id.example/"}]}, "without user", id="keys with a password"),
        pytest.param(producers() | {"issuers": [ISSUER | {"algorithms": ["HS256"]}]}, "algorithms", id="a shared secret"),
        pytest.param(producers() | {"issuers": [ISSUER | {"algorithms": ["none"]}]}, "algorithms", id="no signature"),
        pytest.param(producers() | {"issuers": [ISSUER | {"algorithms": []}]}, "algorithms", id="no algorithm"),
    ],
)  # fmt: skip
def test_a_file_that_means_nothing_is_refused(document: Any, complaint: str) -> None:
    """S7: two producers with one source could use up each other's ids. S11: a weak algorithm cannot be configured."""
    with pytest.raises(BadProducers, match=complaint):
        parsed(yaml.safe_dump(document))


def test_a_broken_file_says_where() -> None:
    """A person must be able to fix it."""
    with pytest.raises(BadProducers, match="line 3"):
        parsed("producers:\n  - {id: gate\n")


def test_every_scalar_is_text_first() -> None:
    """YAML would read a hash of digits as a number, and lose its zeros."""
    (found,) = parsed(
        yaml.dump(producers(keys=[{"prefix": "123456789012", "sha256": "1" * 64}])).replace("'", "")
    ).producers
    assert (found.keys[0].prefix, found.keys[0].sha256) == ("123456789012", "1" * 64)


def with_keys(*keys: ApiKey) -> Producers:
    return parsed(yaml.safe_dump(producers(keys=[k.model_dump(mode="json", exclude_none=True) for k in keys])))


def test_a_key_proves_its_producer_and_nothing_else_does() -> None:
    """S17. The file has a hash; the right secret with another prefix, a shorter and a longer one prove nothing."""
    mine, other = api_keys.new_key(secrets.token_bytes), api_keys.new_key(secrets.token_bytes)
    known = with_keys(mine.kept, other.kept).by_prefix()
    assert api_keys.owner(mine.text, known, NOW)
    _, prefix, secret = mine.text.split("_")
    assert mine.kept.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    stranger = api_keys.new_key(secrets.token_bytes).text
    swapped = f"tb_{other.kept.prefix}_{secret}"
    for token in ("", "tb_", stranger, swapped, mine.text[:-1], mine.text + "0", mine.text.upper(), f"tb_{prefix}_{mine.kept.sha256}", mine.text + "\n"):  # fmt: skip
        assert api_keys.owner(token, known, NOW) is None, token


def test_keys_overlap_and_end() -> None:
    """The old and the new key are valid together for a while; the old one ends at `valid_to`, to the microsecond."""
    old, new = api_keys.new_key(secrets.token_bytes), api_keys.new_key(secrets.token_bytes, NOW)
    end = NOW + timedelta(days=1)
    known = with_keys(old.kept.model_copy(update={"valid_to": end}), new.kept).by_prefix()
    step = timedelta(microseconds=1)
    assert api_keys.owner(new.text, known, NOW - step) is None
    assert api_keys.owner(new.text, known, NOW)
    assert api_keys.owner(old.text, known, end - step)
    assert api_keys.owner(old.text, known, end) is None


def test_two_keys_are_never_alike() -> None:
    """256 bits of randomness, all of them used."""
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return secrets.token_bytes(size)

    made = {api_keys.new_key(random).text for _ in range(100)}
    assert len(made) == 100
    assert drawn[:2] == [6, 32]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(MINIMAL + "    formats: [kong]\n", id="no keys yet"),
        pytest.param("producers:\n- id: gate\n  source: edge # ours\n- {id: b, source: c}\n", id="another indentation"),
        pytest.param(MINIMAL + f"    keys:\n      - prefix: 0123456789ab # old\n        sha256: '{'1' * 64}'\n  - id: b\n    source: c\n", id="one key, and one behind"),
        pytest.param(MINIMAL + f"    keys:\n    - {{prefix: 0123456789ab, sha256: '{'1' * 64}'}}\n", id="a key in brackets"),
    ],
)  # fmt: skip
def test_a_key_is_written_into_the_file_as_a_person_would(text: str) -> None:
    """Comments and order stay: every existing line stays."""
    new = api_keys.new_key(secrets.token_bytes, NOW)
    changed = api_keys.with_key(text, "gate", new.kept)
    assert [line for line in changed.splitlines() if line in text.splitlines()] == text.splitlines()
    before, after = parsed(text), parsed(changed)
    assert [k for k in after.producers[0].keys if k.prefix == new.kept.prefix] == [new.kept]
    assert len(after.producers[0].keys) == len(before.producers[0].keys) + 1
    assert after.producers[1:] == before.producers[1:]


@pytest.mark.parametrize(
    "text", [MINIMAL + "    keys: []\n", "producers: [{id: gate, source: edge}]\n"], ids=["an empty list", "brackets"]
)
def test_a_key_is_added_to_records_in_brackets(text: str) -> None:
    """Users may write YAML in both styles."""
    new = api_keys.new_key(secrets.token_bytes, NOW)
    (after,) = parsed(api_keys.with_key(text, "gate", new.kept)).producers
    assert after == parsed(text).producers[0].model_copy(update={"keys": (new.kept,)})


@pytest.mark.parametrize(
    ("text", "producer", "complaint"),
    [
        (MINIMAL, "gat", "there is no producer 'gat'; there are: gate"),
        (
            MINIMAL + "    keys: &shared\n    - {prefix: 0123456789ab, sha256: '" + "1" * 64 + "'}\n",
            "gate",
            "cannot be added: line 4",
        ),
    ],
)
def test_a_key_that_cannot_be_written_is_not_half_written(text: str, producer: str, complaint: str) -> None:
    """The message names the remedy."""
    with pytest.raises(BadProducers, match=complaint.replace("?", ".")):
        api_keys.with_key(text, producer, api_keys.new_key(secrets.token_bytes).kept)
