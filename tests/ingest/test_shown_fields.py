"""The fields that a dry run shows are those that the lake gets, in every format."""

import pytest

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Attribution, Decoder, SourceRules
from tests.ingest.cloud_lines import CF_NAMES, CF_ROW
from tests.ingest.gateway_lines import GOOD

SHARED = [
    "position", "item", "occurred_at", "method", "route", "status", "request_bytes", "response_bytes", "latency_us", "credential_kind", "credential",
    "partner_id",
]  # fmt: skip


def decoder(format_name: str) -> Decoder:
    """Every line is of one partner, so that all are counted."""
    return Decoder(format_name, SourceRules("edge", partner="acme", trust_user=True), Attribution())


@pytest.mark.parametrize("format_name", GOOD)
def test_what_is_shown_is_what_is_stored(format_name: str) -> None:
    """The statement that shows must not come to read a field in another way than the one that counts."""
    framed = split_lines("".join(good.line + "\n" for good in GOOD[format_name]).encode(), 0)
    one = decoder(format_name)
    events, shown = one.decode(framed, "generation").events, one.fields(framed)
    assert events.num_rows == len(GOOD[format_name])
    assert shown.select(SHARED).to_pylist() == events.select(SHARED).to_pylist()
    assert shown["path"].to_pylist() == [good.fields.get("path") for good in GOOD[format_name]]


def test_columns_that_a_line_before_the_block_defines_are_read() -> None:
    """A trial may begin where the lake ends, below the header of the file."""
    one, framed = decoder("cloudfront"), split_lines(f"{CF_ROW}\n".encode(), 0)
    layout = f"#Fields: {CF_NAMES}"
    [event] = one.decode(framed, "generation", layout=layout).events.select(SHARED).to_pylist()
    [shown] = one.fields(framed, layout=layout).select(SHARED).to_pylist()
    assert shown == event


def test_secrets_and_addresses_in_a_path_are_redacted() -> None:
    """The lake stores no path; the screen must not show what no dead letter does."""
    line = '203.0.113.77 - - [01/Oct/2026:00:00:00 +0000] "GET /by/198.51.100.7/api_key=%s/eyJhbGciOi.eyJ%s.c2ln?sig=%s HTTP/1.1" 200 1 "-" "-"\n'
    secret = "canary7f3a"
    [path] = decoder("nginx").fields(split_lines((line % (secret, secret, secret)).encode(), 0))["path"].to_pylist()
    assert path.startswith("/by/198.51.100.0/24/api_key=***")
    assert secret not in path
