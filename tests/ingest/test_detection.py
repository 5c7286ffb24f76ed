"""A log's format is proposed by what reads it: each format's own lines lead back to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.decode import detection, formats
from ingest.decode.framing import Lines, split_lines
from ingest.files.block_reader import frames
from tests.ingest.cloud_lines import CASES
from tests.ingest.fixtures import kong, line
from tests.ingest.gateway_lines import GOOD
from tests.ingest.test_conformance import ABSENT, MANIFEST, SAMPLES

pytestmark = pytest.mark.integration

# Formats whose lines may be the same text: nobody can tell them apart, and all of them are named.
CLF = {"apache", "nginx", "traefik", "kong"}
SAME: dict[str, set[str]] = dict.fromkeys(CLF, CLF) | {"istio": {"istio", "envoy"}, "envoy": {"istio", "envoy"}}
# Samples in which no format may find a request, and one that is of a shape of its own.
NOTHING = {
    "kong/axway-testNoRequestData.json", "nginx/crowdsec-nginx_req_limit_exceeded.log", "apisix/kafka-logger-meta_format-origin.txt",
    "azure_apim/ms-docs-sample-masked.json", "cloudevents/spec-empty-batch.json", "otlp/opentelemetry-proto-examples-logs.json", "otlp/lnav-otel_collector.jsonl",
}  # fmt: skip
FOUND = SAMPLES.parent / "found"
# Real-time lines of CloudFront have columns that no format reads; connections are no requests, in JSON of any format.
NOTHING_FOUND = {"cloudfront-realtime", "envoy-tcp"}
AWS = {
    "extendedRequestId": "Jx8=", "ip": "198.51.100.7", "apiKeyId": "k9x", "requestTimeEpoch": "1790812800123", "httpMethod": "POST", "resourcePath": "/v1/orders",
    "status": "201", "responseLength": "345",
}  # fmt: skip


def own(name: str) -> bytes:
    """Good lines of a format, of ours."""
    if name in GOOD:
        return "\n".join(good.line for good in GOOD[name]).encode()
    if name in CASES:
        return "\n".join(
            json.dumps(json.loads(g.text)) if g.text[0] in "{[" else g.text for g in CASES[name][0]
        ).encode()
    return {"kong": line(kong()), "aws_apigw": line(AWS)}[name]


def proposed(framed: Lines) -> list[str]:
    """The formats that come first."""
    found = detection.matches(framed)
    return [r.format for r in found if r.accepted and r.rank == found[0].rank]


@pytest.mark.sampled(keep=5)
@pytest.mark.parametrize("name", formats.names())
def test_the_lines_of_a_format_lead_to_it(name: str) -> None:
    """Whoever has a log and does not know its format gets the one that was made for it, and no stranger beside it."""
    first = proposed(split_lines(own(name), 0))
    assert name in first
    assert set(first) <= SAME.get(name, {name})


def samples() -> Iterator[Any]:
    if not MANIFEST.exists():
        yield pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))
        return
    for entry in json.loads(MANIFEST.read_text()):
        if not entry["framing"].startswith("one Kafka message"):
            yield pytest.param(entry, id=entry["file"])


def found() -> Iterator[Any]:
    cases = sorted(FOUND.glob("*.expected.json"))
    if not cases:
        yield pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))
    for case in cases:
        name = case.name.removesuffix(".expected.json")
        yield pytest.param(case, id=name)


@pytest.mark.sampled(keep=5)
@pytest.mark.parametrize("entry", list(samples()))
def test_real_logs_lead_to_their_format(entry: dict[str, Any]) -> None:
    """A wrong format first is a wrong format chosen."""
    first = proposed(detection.sample(frames(SAMPLES / entry["file"])))
    if entry["file"] in NOTHING:
        assert first == []
    else:
        assert entry["format"] in first
        assert set(first) <= SAME.get(entry["format"], {entry["format"]})


@pytest.mark.sampled(keep=5)
@pytest.mark.parametrize("case", list(found()))
def test_logs_from_the_field_lead_to_their_format(case: Path) -> None:
    """Also if their lines are refused for a number: the format that knows the rest of them comes first."""
    log = case.with_name(case.name.replace(".expected.json", ".log"))
    read = detection.matches(detection.sample(frames(log)))
    first = {r.format for r in read if (r.accepted or r.recognised) and r.rank == read[0].rank}
    name = json.loads(case.read_text())["format"]
    if log.stem in NOTHING_FOUND:
        assert first == set()
    else:
        assert name in first
        assert first <= SAME.get(name, {name})


def test_a_log_of_nothing_known_has_no_proposal(tmp_path: Path) -> None:
    """No format is better than a wrong one."""
    (tmp_path / "a.log").write_text("Dear diary,\ntoday nobody called.\n")
    assert proposed(detection.sample(frames(tmp_path / "a.log"))) == []
    (tmp_path / "empty.log").write_text("")
    assert detection.matches(detection.sample(frames(tmp_path / "empty.log"))) == []
