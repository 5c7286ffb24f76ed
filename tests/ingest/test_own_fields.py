"""Field names that an operator has chosen: what they hold goes before what the format finds, and they are data, never SQL."""

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import FIELDS, Decoded, Decoder, SourceRules
from schemas.catalog.sources import Fields, Source
from schemas.windows import from_us
from tests.ingest.fixtures import OWNERS, T0_MS, kong, line

NAMES = {
    "request_id": "reqId", "time": "when", "method": "verb", "path": "url", "route": "r", "status": "http/statusCode",
    "request_bytes": "http/in", "response_bytes": "http/out",
    "latency_s": "took", "client_ip": "peer", "consumer": "who", "service": "api.name", "host": "h",
}  # fmt: skip
RECORD: dict[str, Any] = {
    "reqId": "x-1", "when": "2026-10-01T00:00:00Z", "verb": "PUT", "url": "/v1/orders?apikey=canary", "r": "orders", "http": {"statusCode": "201", "in": 10, "out": 20},
    "took": 0.0125, "peer": "203.0.113.9:443", "who": "c-acme", "api.name": "svc", "h": "api.example:443",
}  # fmt: skip


def decode(format_name: str, fields: dict[str, str], *lines: bytes, **rules: Any) -> Decoded:
    decoder = Decoder(format_name, SourceRules("edge", fields=fields, **rules), OWNERS)
    return decoder.decode(split_lines(b"".join(lines), 0), "gen")


@pytest.mark.parametrize("format_name", ["nginx", "envoy", "aws_apigw", "apache", "kong"])
def test_every_field_can_have_another_name(format_name: str) -> None:
    """Whatever the format would have made of the line: the names decide."""
    decoded = decode(format_name, NAMES, line(RECORD))
    assert decoded.refused.to_pylist() == []
    [event] = decoded.events.to_pylist()
    assert event | {"client_network": None} == {
        "source": "edge", "event_id": "x-1", "partner_id": "acme", "credential_kind": "consumer", "credential": "c-acme", "occurred_at": from_us(T0_MS * 1000),
        "service": "svc", "method": "PUT", "route": "orders", "status": 201, "request_bytes": 10, "response_bytes": 20, "latency_us": 12_500, "client_network": None,
        "suspended": False, "outside": None, "event_type": None, "quantities": None, "attributes": None, "generation": "gen", "position": 0, "item": 0,
    }  # fmt: skip


def test_what_has_no_name_of_its_own_is_read_as_ever() -> None:
    """Two names of thirteen: the format does the rest, and lines without these fields stay what they were."""
    fields = {"route": "template", "status": "code"}
    decoded = decode("kong", fields, line(kong("a", code=404) | {"template": "t"}), line(kong("b")), b"no JSON\n")
    assert [(e["event_id"], e["route"], e["status"]) for e in decoded.events.to_pylist()] == [
        ("a", "t", 404),
        ("b", "orders", 200),
    ]
    assert decoded.refused["reason"].to_pylist() == ["NOT_JSON"]


def test_a_route_may_be_the_target_and_keeps_no_query() -> None:
    """Queries hold secrets: they are stored nowhere, also not where an operator calls the target a route."""
    fields = {"route": "url", "consumer": "who", "time": "when", "status": "http/statusCode"}
    decoded = decode(
        "nginx", fields, *(line(RECORD | {"url": url}) for url in ("/v1/orders?apikey=canary", "/x#canary", "?canary"))
    )
    assert [event["route"] for event in decoded.events.to_pylist()] == ["/v1/orders", "/x", None]


def test_an_identity_may_be_a_tag() -> None:
    """`partner` is to `fields` what `partner_field` is alone: only a source that may tag can use it."""
    fields = {"partner": "tenant/id"}
    tagged = line(kong("a", consumer=None) | {"tenant": {"id": "bolt"}})
    assert decode("kong", fields, tagged, may_tag=True).events["partner_id"].to_pylist() == ["bolt"]
    assert decode("kong", fields, tagged).refused["reason"].to_pylist() == ["TAG_NOT_ALLOWED"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"when": "2026-10-01T00:00:00"}, "NO_ZONE"), ({"http": {"statusCode": 999}}, "BAD_STATUS"), ({"took": "soon"}, "NUMBER_RANGE"), ({"who": "-"}, "NO_PARTNER")],
)  # fmt: skip
def test_what_they_hold_is_judged_as_ever(changes: dict[str, Any], reason: str) -> None:
    """A name does not make a value right."""
    assert decode("nginx", NAMES, line(RECORD | changes)).refused["reason"].to_pylist() == [reason]


@pytest.mark.parametrize(
    "name",
    ['x"', "x'; DROP TABLE lines; --", "$.x", "a//b", "/a", "", "x" * 65, "a/b/c/d/e", "a b", "[0]", "*", "\u00e9"],
)
def test_a_name_that_could_be_more_than_a_name_is_refused(name: str) -> None:
    """It becomes a path in JSON: quotes, wildcards and brackets have no place in it."""
    with pytest.raises(ValidationError):
        Fields(status=name)


def test_contradictions_are_refused() -> None:
    """Two units, two places for the partner, none at all."""
    for wrong in ({"latency_ms": "a", "latency_s": "b"}, {}):
        with pytest.raises(ValidationError):
            Fields(**wrong)
    with pytest.raises(ValidationError):
        Source(id="s", partner_field="a", fields=Fields(partner="b"))


def test_the_catalog_and_the_reader_know_the_same_fields() -> None:
    """A field that only one of them knew would be dropped without a word."""
    several = {"quantities", "attributes"}  # read by ingest/decode/quantities.py
    assert set(Fields.model_fields) == {*FIELDS, "partner", *several}
    fields = {name: info for name, info in Fields.model_fields.items() if name not in several}
    assert all(type(None) in get_args(info.annotation) for info in fields.values())


def test_secrets_in_them_are_struck_out_of_dead_letters() -> None:
    """A query stays a query under another name."""
    decoded = decode("nginx", NAMES, line(RECORD | {"who": "c-nobody"}))
    assert b"canary" not in decoded.refused["raw"][0].as_py()
    assert "canary" not in json.dumps(decode("nginx", NAMES, line(RECORD)).events.to_pylist(), default=str)
