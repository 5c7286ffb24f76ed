"""Decoding is total, attribution is exact, secrets stop here."""

import json
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoded, Decoder, SourceRules
from schemas.reasons import REMEDY, Reason
from schemas.windows import from_us
from tests.ingest.fixtures import OWNERS, T0_MS, kong, line
from tests.long import amount

T0_US = T0_MS * 1000


@cache
def decoder(format_name: str, rules: SourceRules) -> Decoder:
    return Decoder(format_name, rules, OWNERS)


def decode(*lines: bytes, rules: SourceRules | None = None, format_name: str = "kong") -> Decoded:
    return decoder(format_name, rules or SourceRules("edge")).decode(split_lines(b"".join(lines), 0), "gen")


def one_event(*lines: bytes, rules: SourceRules | None = None, format_name: str = "kong") -> dict[str, Any]:
    decoded = decode(*lines, rules=rules, format_name=format_name)
    assert decoded.refused.to_pylist() == []
    return decoded.events.to_pylist()[0]  # type: ignore[no-any-return]


def one_refusal(*lines: bytes, rules: SourceRules | None = None, format_name: str = "kong") -> dict[str, Any]:
    decoded = decode(*lines, rules=rules, format_name=format_name)
    assert decoded.events.num_rows == 0
    assert decoded.refused.num_rows == 1
    return decoded.refused.to_pylist()[0]  # type: ignore[no-any-return]


def test_an_event_holds_what_is_billed_and_no_more() -> None:
    """All columns of one line: query, host, address and headers stay behind."""
    event = one_event(line(kong()))
    assert event == {
        "source": "edge", "event_id": "id-1", "partner_id": "acme", "credential_kind": "consumer", "credential": "c-acme",
        "occurred_at": from_us(T0_US), "service": "svc", "method": "GET", "route": "orders", "status": 200, "request_bytes": 200,
        "response_bytes": 900, "latency_us": 12_000, "client_network": "203.0.113.0/24", "suspended": False, "outside": None,
        "event_type": None, "quantities": None, "attributes": None,
        "generation": "gen", "position": 0, "item": 0,
    }  # fmt: skip


HOSTILE = [
    b"hello\n", b"{\n", b"}\n", b"[]x\n", b'"text"\n', b"null\n", b"true\n", b"12\n", b"-\n", b"[" * 10_000 + b"\n", b'{"a":' * 5_000 + b"\n",
    b'{"request":{}}\n', b'{"request":[]}\n', b'{"request":"x","started_at":1}\n', b'{"request":{"id":{}},"started_at":[]}\n',
    b'{"request":{"id":"\\ud800"},"started_at":1}\n', b'{"request":{"id":"\\u0000"},"started_at":1790812800000}\n', b"\xff\xfe{\x00}\x00\n",
    b"\x00\n", b"\x1b[31m\n", b'{"request":{"size":1e400},"started_at":1790812800000}\n', b'{"request":{"size":NaN}}\n', b"{} {}\n", b'{"a":1}garbage\n',
    b'{"request":{"id":"x"},"started_at":99999999999999999999999}\n', b'{"request":{"id":"x"},"started_at":1.1234567e21}\n',
    b'{"request":{"id":"x"},"started_at":1790812800000,"latencies":{"request":1234567890123456}}\n',
    b'{"request":{"id":"x"},"started_at":-5}\n', b"<request >\n", b"\xc3(\n",
    b'{"request":{"id":"' + b"9" * 5000 + b'"},"started_at":1790812800000}\n', b'1.2.3.4 - - [99/Foo/2016:99:99:99 +0000] "GET / HTTP/1.0" 200 1\n',
]  # fmt: skip


@pytest.mark.sampled(keep=15)
@pytest.mark.parametrize("format_name", ["kong", "aws_apigw"])
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda b: repr(b[:24]))
def test_a_hostile_line_is_refused_and_its_neighbours_are_counted(hostile: bytes, format_name: str) -> None:
    """Sent among good lines: they count, it does not, nothing crashes."""
    good = line(kong("a")) + line(kong("b"))
    if format_name == "aws_apigw":
        good = b"".join(
            line({"extendedRequestId": i, "requestTimeEpoch": str(T0_MS), "status": "200", "apiKeyId": "k-acme"})
            for i in "ab"
        )
    first, second = good.splitlines(keepends=True)
    decoded = decode(first, hostile, second, format_name=format_name)
    assert decoded.events["event_id"].to_pylist() == ["a", "b"]
    assert decoded.refused.num_rows == 1
    assert decoded.refused["reason"][0].as_py() in Reason.__members__
    assert decoded.refused["raw_sha256"][0].as_py()


@pytest.mark.integration
@settings(max_examples=amount(8, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b"")), max_size=8))
def test_decoding_is_total(lines: list[bytes]) -> None:
    """Whatever the bytes: accepted plus refused are the non-blank lines."""
    decoded = decode(*(text + b"\n" for text in lines))
    texts = [
        text.removeprefix(b"\xef\xbb\xbf") for text in lines
    ]  # a byte order mark at the start of a line is no text
    assert decoded.events.num_rows + decoded.refused.num_rows == sum(1 for text in texts if text.strip())


NAMES = st.sampled_from(["id", "size", "status", "name", "x"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
VALUES = st.recursive(LEAVES, lambda c: st.lists(c, max_size=3) | st.dictionaries(NAMES, c, max_size=3), max_leaves=9)
TOP = st.sampled_from(["request", "response", "started_at", "consumer", "route", "latencies"])


@pytest.mark.integration
@settings(max_examples=amount(8, 60), deadline=None)
@given(st.dictionaries(TOP, VALUES))
def test_any_json_object_has_one_outcome(record: dict[str, Any]) -> None:
    """Fields of any type and depth: one line, one outcome."""
    decoded = decode(json.dumps(record).encode() + b"\n")
    assert decoded.events.num_rows + decoded.refused.num_rows == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(kong(request=None), "NOT_A_REQUEST", id="no request"),
        pytest.param(kong("x" * 129), "BAD_ID", id="id too long"),
        pytest.param(kong("a\nb"), "CONTROL_CHAR", id="control character in the id"),
        pytest.param(kong(" "), "BAD_ID", id="blank id"),
        pytest.param(kong(started_at=None), "NO_TIME", id="no time"),
        pytest.param(kong(started_at="soon"), "BAD_TIME", id="no number"),
        pytest.param(kong(started_at=T0_MS * 1000), "TIME_RANGE", id="microseconds taken for milliseconds"),
        pytest.param(kong(response__status=600), "BAD_STATUS", id="status beyond 599"),
        pytest.param(kong(response__status="ok"), "BAD_STATUS", id="status no number"),
        pytest.param(kong(response__size=-1), "NUMBER_RANGE", id="negative size"),
        pytest.param(kong(request__size=10**18), "NUMBER_RANGE", id="size beyond 10^16"),
        pytest.param(kong(response__size=10.5), "NUMBER_RANGE", id="half a byte is not rounded"),
        pytest.param(kong(response__size="15e-1"), "NUMBER_RANGE", id="nor is one in disguise"),
        pytest.param(
            kong(latencies__request="7691825849.67169e3"), "NUMBER_RANGE", id="a latency that overflows by its exponent"
        ),
        pytest.param(kong(response__status=200.4), "BAD_STATUS", id="a status is whole"),
        pytest.param(kong(consumer=None), "NO_PARTNER", id="anonymous"),
        pytest.param(kong(consumer__id="c-nobody"), "UNKNOWN_CREDENTIAL", id="unknown credential"),
        pytest.param(kong(consumer__id="c-ended"), "CREDENTIAL_NOT_VALID", id="known, but not valid then"),
    ],
)
def test_reasons(record: dict[str, Any], reason: str) -> None:
    """Each refusal has its reason from the closed list, and a detail for people."""
    refusal = one_refusal(line(record))
    assert (refusal["reason"], refusal["outcome"]) == (reason, "refused")
    assert refusal["detail"]


def test_events_do_not_carry_values_of_refused_lines() -> None:
    """Coded columns travel with their dictionary, whole, into messages and files."""
    events, refused = decode(
        line(kong("a")), line(kong("b", consumer__id="c-nobody", route__name="hush")), line(kong("c"))
    )
    assert (events.num_rows, refused.num_rows) == (2, 1)
    coded = [column.unify_dictionaries() for column in events.columns if pa.types.is_dictionary(column.type)]
    values = {value for column in coded for chunk in column.chunks for value in chunk.dictionary.to_pylist()}
    assert "c-acme" in values
    assert not values & {"c-nobody", "hush"}


def test_every_reason_has_a_remedy() -> None:
    """A reason without a remedy helps nobody."""
    assert set(REMEDY) == set(Reason)


@pytest.mark.parametrize(("offset_us", "partner"), [(-1, "acme"), (0, "bolt")])
def test_a_credential_belongs_to_whom_it_was_valid_for_at_event_time(offset_us: int, partner: str) -> None:
    """[from, to): the last millisecond is the old owner's, the first instant the new one's."""
    event = one_event(line(kong(consumer__id="c-moved", started_at=T0_MS + offset_us)))
    assert event["partner_id"] == partner


def test_usage_of_a_suspended_partner_counts_and_is_flagged() -> None:
    """It happened."""
    event = one_event(line(kong(consumer__id="c-sleepy")))
    assert (event["partner_id"], event["suspended"]) == ("sleepy", True)


TAGGING = SourceRules("edge", may_tag=True, partner_field="partner")
ASKING = SourceRules("edge", may_tag=False, partner_field="partner")


@pytest.mark.parametrize("format_name", ["kong", "nginx"])
def test_a_source_that_names_partners_in_a_field_may_hold_lines_without_fields(format_name: str) -> None:
    """A line that is not JSON has no field to look into; it is refused or read like any other, and harms no neighbour."""
    decoded = decode(*HOSTILE, rules=TAGGING, format_name=format_name)
    assert decoded.events.num_rows + decoded.refused.num_rows == len(HOSTILE)


@pytest.mark.parametrize(
    ("record", "rules", "outcome"),
    [
        pytest.param(
            kong(consumer=None, partner="bolt"), TAGGING, "bolt", id="a tag alone, from a source that may tag"
        ),
        pytest.param(
            kong(consumer=None, partner="bolt"), ASKING, "TAG_NOT_ALLOWED", id="a tag alone, from one that may not"
        ),
        pytest.param(kong(partner="acme"), ASKING, "acme", id="a tag that agrees with the credential"),
        pytest.param(kong(partner="bolt"), TAGGING, "PARTNER_MISMATCH", id="a tag that names another partner"),
        pytest.param(kong(partner="nobody"), TAGGING, "UNKNOWN_PARTNER", id="a tag for no partner"),
        pytest.param(kong(partner="'; DROP TABLE usage;--"), TAGGING, "BAD_PARTNER", id="a tag that is SQL"),
        pytest.param(
            kong(consumer=None, partner="bolt"),
            SourceRules("edge", may_tag=True),
            "NO_PARTNER",
            id="no field is named: no tag is looked for",
        ),
    ],
)
def test_tags(record: dict[str, Any], rules: SourceRules, outcome: str) -> None:
    """A tag counts alone only where the source may tag, and never against the credential."""
    decoded = decode(line(record), rules=rules)
    rows = decoded.events["partner_id"].to_pylist() + decoded.refused["reason"].to_pylist()
    assert rows == [outcome]


OWNED = SourceRules("push", partner_field="partner", partner="acme")


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        pytest.param(kong(consumer=None), "acme", id="nobody is named"),
        pytest.param(kong(consumer__id="c-nobody"), "acme", id="a credential that the catalog does not know"),
        pytest.param(kong(), "acme", id="a credential of its own"),
        pytest.param(kong(consumer=None, partner="acme"), "acme", id="a tag of its own, without leave to tag"),
        pytest.param(kong(consumer=None, partner="bolt"), "PARTNER_MISMATCH", id="a tag of another"),
        pytest.param(kong(consumer__id="c-moved"), "PARTNER_MISMATCH", id="a credential of another"),
        pytest.param(
            kong(consumer__id="c-moved", partner="acme"), "PARTNER_MISMATCH", id="a credential against the tag"
        ),
        pytest.param(kong(consumer__id="c-moved", partner="bolt"), "PARTNER_MISMATCH", id="both of another"),
        pytest.param(kong(partner="nobody"), "UNKNOWN_PARTNER", id="a tag for no partner"),
    ],
)
def test_a_partners_own_source_is_the_partners(record: dict[str, Any], outcome: str) -> None:
    """Whoever holds a partner's key can neither bill another nor be billed as nobody."""
    decoded = decode(line(record), rules=OWNED)
    rows = decoded.events["partner_id"].to_pylist() + decoded.refused["reason"].to_pylist()
    assert rows == [outcome]
    assert decoded.refused["partner_id"].null_count == decoded.refused.num_rows


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (kong(consumer=None, partner="bolt"), "the source is of acme, but partner tag bolt"),
        (kong(consumer__id="c-moved"), "the source is of acme, but consumer c-moved is of bolt"),
    ],
)
def test_a_foreign_event_in_a_partners_own_source_says_whose_it_is(record: dict[str, Any], says: str) -> None:
    """The operator reads whose credential was used, and in whose source."""
    assert one_refusal(line(record), rules=OWNED)["detail"] == says


def test_a_suspended_partners_own_source_counts_and_is_flagged() -> None:
    """As its credentials do."""
    event = one_event(line(kong(consumer=None)), rules=SourceRules("push", partner="sleepy"))
    assert (event["partner_id"], event["suspended"]) == ("sleepy", True)


@pytest.mark.parametrize(
    ("issuer", "client", "partner", "credential"),
    [
        ("https://id.example", "client-1", "acme", "https://id.example#client-1"),
        ("https://all.example", "anyone", "bolt", "https://all.example"),
        ("https://all.example", "special", "acme", "https://all.example#special"),
    ],
)
def test_an_oidc_client_goes_before_its_issuer(issuer: str, client: str, partner: str, credential: str) -> None:
    """The client that is listed is its partner's; the issuer stands for the others."""
    record = {
        "requestId": "r=",
        "routeKey": "GET /",
        "requestTimeEpoch": str(T0_MS),
        "status": "200",
        "iss": issuer,
        "azp": client,
    }
    event = one_event(line(record), format_name="aws_apigw")
    assert (event["partner_id"], event["credential"]) == (partner, credential)


def test_time_limits_hold_only_where_they_are_given() -> None:
    """Limits are half-open, too: the earliest instant counts, the latest does not."""
    limits = SourceRules("edge", earliest_us=T0_US, latest_us=T0_US + 1000)
    assert one_event(line(kong()), rules=limits)["event_id"] == "id-1"
    assert one_refusal(line(kong(started_at=T0_MS - 1)), rules=limits)["reason"] == "TOO_LATE"
    assert one_refusal(line(kong(started_at=T0_MS + 1)), rules=limits)["reason"] == "IN_FUTURE"


def test_ids_that_a_client_can_choose_are_not_used() -> None:
    """A client of a REST stage sets requestId itself: deduplicating on it would let it lower its own bill."""
    record = {
        "requestId": "mine",
        "resourcePath": "/x",
        "requestTimeEpoch": str(T0_MS),
        "status": "200",
        "apiKeyId": "k-acme",
    }
    decoded = decode(line(record), line(record), format_name="aws_apigw")
    assert decoded.events["event_id"].to_pylist() == ["@gen:0", f"@gen:{len(line(record))}"]


def test_an_array_gives_one_entry_for_each_record() -> None:
    """Kong's http-log batches: items are numbered, and each without an id gets one of its own."""
    decoded = decode(line([kong("a"), kong(None), kong("a", consumer=None)]))
    assert decoded.events["event_id"].to_pylist() == ["a", "@gen:0:1"]
    assert decoded.refused["item"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"), ("2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::/48"), ("2001:db8::1", "2001:db8:0::/48"),
        ("::ffff:198.51.100.9", "198.51.100.0/24"), ("::1", "0:0:0::/48"), ("unknown", None), ("10.0.0.9:51234", "10.0.0.0/24"),
    ],
)  # fmt: skip
def test_addresses_are_cut_to_networks(address: str, network: str | None) -> None:
    """/24 and /48; what is no address is not kept at all."""
    assert one_event(line(kong(client_ip=address)))["client_network"] == network


SECRETS = ["canary1", "canary2", "canary3", "canary4", "canary5", "eyJhbGciOi.eyJzdWIiOi.c2ln"]


def test_secrets_do_not_pass() -> None:
    """Keys, cookies, tokens and queries of counted and of refused lines, also of lines that are cut."""
    record = kong(
        request__headers={
            "apikey": SECRETS[0],
            "Cookie": f"sid={SECRETS[1]}",
            "x-api-key": SECRETS[2],
            "x": f"Bearer {SECRETS[5]}",
        },
        request__uri=f"/v1/x?api_key={SECRETS[3]}",
        request__querystring={"token": SECRETS[4]},
    )
    whole = line(record)
    refused = line({**record, "consumer": {"id": "c-nobody"}})
    decoded = decode(whole, refused, refused[: len(refused) * 3 // 4] + b"\n")
    stored = repr(decoded.events.to_pylist()) + repr(decoded.refused.to_pylist())
    assert decoded.refused.num_rows == 2
    assert [s for s in SECRETS if s in stored] == []
    assert "c-nobody" in stored, "what mends the line must stay readable"
