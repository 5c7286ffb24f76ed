"""No whole client address is kept: not of what counts, not of what is refused. Security, S20."""

from functools import cache

import pytest

from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder, SourceRules
from tests.ingest.fixtures import OWNERS, kong, line

WHOLE = [
    "203.0.113.77",
    "2001:db8:85a3::8a2e:370:7334",
    "2001:db8:85a3:1:2:8a2e:370:7334",
    "::ffff:203.0.113.77",
    "2001:db8::7334",
]
LAST = ("113.77", "370:7334", "::7334")


@cache
def decoder(format_name: str) -> Decoder:
    return Decoder(format_name, SourceRules("edge"), OWNERS)


def refused(text: bytes, format_name: str = "kong") -> str:
    decoded = decoder(format_name).decode(split_lines(text, 0), "g")
    (row,) = decoded.refused.to_pylist()
    return str(row["raw"].decode())


@pytest.mark.parametrize("ip", WHOLE)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"client_ip":"%s","request":{"id":"x"}}', id="a field"),
        pytest.param('%s - - [01/Oct/2026:00:00:00 +0000] "GET / HTTP/1.1" 999 1', id="the first of a text line"),
        pytest.param('{"xff":"%s, 10.0.0.1,%s","request":{"id":"x"}}', id="a list"),
        pytest.param("garbage %s:443 [%s]:443 more", id="in garbage, with a port"),
    ],
)
def test_a_refused_line_keeps_networks_alone(text: str, ip: str) -> None:
    """A line that nobody counts must not say more of a person than one that counts."""
    kept = refused((text.replace("%s", ip) + "\n").encode())
    assert not any(part in kept for part in LAST)
    assert "203.0.113.0/24" in kept or "2001:db8" in kept


@pytest.mark.parametrize(
    "text",
    ["arn:aws:iam::123456789012:user/a", "arn:aws:s3:::bucket/key", "01/Oct/2026:12:34:56 +0000", "a1:b2:c3:d4:e5:f6", "2026-10-01T12:34:56.789Z", "1.2.3"],
)  # fmt: skip
def test_what_is_no_address_stays_as_it_was(text: str) -> None:
    """People mend lines by what they see: names and times must stand."""
    assert text in refused(f'{{"a":"{text}"}}\n'.encode())


@pytest.mark.parametrize(
    ("ip", "network"),
    [("203.0.113.77", "203.0.113.0/24"), ("2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::/48"), ("2001:db8::7334", "2001:db8:0::/48")],
)  # fmt: skip
def test_a_line_that_is_read_again_tells_the_same_network(ip: str, network: str) -> None:
    """A redrive after the catalog was mended counts it as the first reading would have."""
    raw = refused(line(kong(consumer__id="c-nobody", client_ip=ip)))
    again = raw.replace("c-nobody", "c-acme").encode() + b"\n"
    (event,) = decoder("kong").decode(split_lines(again, 0), "g").events.to_pylist()
    assert event["client_network"] == network
    assert refused(raw.encode() + b"\n") == raw
