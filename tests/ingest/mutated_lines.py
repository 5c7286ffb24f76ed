"""Lines of every JSON format that has templates, changed in every way that we know."""

import copy
import json
import random
import re
from functools import cache
from typing import Any

from ingest.decode import field_layout, fields, formats
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import SourceRules
from tests.ingest.both_ways import pair
from tests.ingest.cloud_lines import CASES
from tests.ingest.fixtures import T0_MS, kong
from tests.ingest.gateway_lines import GOOD

LINES = {name: [row.line for row in rows] for name, rows in GOOD.items()} | {
    name: [case.text for case in rows[0]] for name, rows in CASES.items()
}
WITH_TEMPLATES = [name for name in formats.names() if field_layout.layout_of(name)]
APIGW = {
    "requestId": "r-1", "extendedRequestId": "x-1", "stage": "prod", "ip": "203.0.113.9", "userArn": "-", "apiKeyId": "k-acme",
    "requestTimeEpoch": str(T0_MS), "requestTime": "01/Oct/2026:00:00:00 +0000", "httpMethod": "GET", "resourcePath": "/v1/orders/{id}",
    "path": "/prod/v1/orders/7", "status": "200", "responseLength": "2757", "responseLatency": "49", "userAgent": "sdk/2.3",
}  # fmt: skip
IDS = ["", "-", "é", "a b", "x" * 128, "x" * 129, 5, None, "\x7f", 'q"q', "\u0000", "tab\t"]
NUMBERS = [
    "0",
    0,
    "0.000",
    0.0004999,
    0.0005,
    "12.3456785",
    "0.005192s",
    "0s",
    "5.",
    ".5",
    "1234567.25",
    "0.1234567890123456789",
    "007",
    "-",
    "",
    None,
    -1,
    1.5,
    "5.0",
    1e3,
    "1e3",
    10**16,
    10**9 - 1,
    10**9,
    "999999999999999",
    "9" * 16,
    True,
    [1],
    {"a": 1},
]
TIMES = [
    str(T0_MS),
    T0_MS // 1000,
    T0_MS / 1000,
    -5,
    10**18,
    "0",
    None,
    "soon",
    T0_MS - 1,
    T0_MS - 10**12,
    T0_MS + 10**12 * 3,
    str(T0_MS * 10**6 + 123_999),
    T0_MS * 1000,
    f"{T0_MS // 1000}.1239999",
    f"{T0_MS // 1000}.123",
    f"{T0_MS}.5",
    f"{T0_MS // 1000}.",
    "01/Oct/2026:00:00:00.042",
    "31/Sep/2026:00:00:00.042",
    "01/oct/2026:00:00:00.042",
    "01/Oct/2026:00:00:00 +0000",
    "01/Oct/2026:24:00:00.042",
]
ISO = [
    "2026-10-01T00:00:00Z", "2026-10-01T00:00:00.1Z", "2026-10-01T23:59:59.999999Z", "2026-10-01T00:00:00.123456789Z", "2024-02-29T12:00:00.000Z",
    "2026-02-29T12:00:00Z", "2100-02-28T00:00:00Z", "2000-02-29T00:00:00Z", "2026-12-31T23:59:60Z", "2026-10-01T24:00:00Z", "2026-13-01T00:00:00Z",
    "2026-10-00T00:00:00Z", "2026-10-01T00:00:00+00:00", "2026-10-01 00:00:00Z", "2026-10-01T00:00:00.Z", "2026-10-01T00:00:00", "1969-12-31T23:59:59Z",
    "2026-10-01T05:45:00+05:45", "2026-10-01T05:45:00.5-11:00", "2026-10-01T05:45:00+0545", "2026-10-01T05:45:00+15:00",
    "2026-10-01T05:45:00+14:59", "2026-10-01T05:45:00-00:00",
    "2026-10-01T05:45:00+05:60",
    "2026-10-01T00:00:00.123456789012Z", "2026-10-01T00:00:00.9999999+00:00", "2026-10-01t00:00:00Z", "2026-10-01T00:00:00z", "2026-10-01T00:00:60+01:00",
    "2026-10-01T00:00:00.123456",
]  # fmt: skip
ADDRESSES = [
    "203.0.113.9",
    "203.0.113.200",
    "203.0.112.9",
    "2001:db8::1",
    "203.0.113.9:4711",
    "203.0.113.9:x",
    "203.0.113.9:",
    "999.1.2.3",
    "1.2.3",
    "",
    None,
    7,
]
REQUESTS = [
    "GET /v1/x?y HTTP/1.1", "POST / HTTP/2", "GET /", "GET  /", "get / HTTP/1.1", "GET http://a.example/x HTTP/1.1", "CONNECT a.example:443 HTTP/1.1", "-",
    "GET /a\\tb HTTP/1.1", 'GET /a"b HTTP/1.1', "M-SEARCH * HTTP/1.1", "BASE_LINE /x y z", "GET /é", "GET", " GET /", "GET /\n",
]  # fmt: skip
EXTRA = ["x", 'a\\"b', "\u2028", [1, [2, {"deep": [{}]}]], {"status": "500"}, 1.25e-7, 10**400, None, False, {}, [], ""]
BYTES = b'"\\{}[],: 0a\x01\xe9\n'


def mutated(format_name: str, chance: random.Random, count: int) -> list[bytes]:
    """The format's own lines, with other ids, times and numbers, and sometimes another value, structure or byte."""
    return [_mutated(format_name, chance) for _ in range(count)]


def _mutated(format_name: str, chance: random.Random) -> bytes:
    good = lines_with_templates(format_name) if chance.random() < 0.9 else own_lines(format_name)
    varying = varying_names(format_name)
    made = json.loads(chance.choice(good))
    for place, name, called in leaves(made):
        if called in varying and chance.random() < 0.5:
            place[name] = varied(chance, place[name])
    if chance.random() < 0.12:
        place, name, _ = chance.choice(leaves(made))
        place[name] = copy.deepcopy(chance.choice(chance.choice([IDS, NUMBERS, TIMES, ISO, ADDRESSES, REQUESTS])))
    if chance.random() < 0.08:
        restructured(chance, made, sorted(varying))
    separators = chance.choice([(",", ":"), (", ", ": "), (" , ", " :\t")])
    raw = json.dumps(made, ensure_ascii=chance.random() < 0.5, separators=separators)
    if chance.random() < 0.05:
        raw = twice(chance, raw)
    text = bytearray(raw.encode())
    while chance.random() < 0.03:
        text[chance.randrange(len(text))] = chance.choice(BYTES)
    return bytes(text) + b"\n"


@cache
def lines_with_templates(format_name: str) -> list[str]:
    """The format's own lines that can be templates: the statement reads one of three equal ones."""
    found = []
    for text in own_lines(format_name):
        _, counting = pair(format_name, SourceRules("edge", partner="acme"))
        counting.decode(split_lines((text.rstrip("\n") + "\n").encode() * 3, 0), "gen")
        if counting.asked == 1:
            found.append(text)
    return found


def own_lines(format_name: str) -> list[str]:
    """Lines of a format that are one JSON object each."""
    own = LINES.get(format_name, [json.dumps(APIGW if format_name == "aws_apigw" else kong())])
    return [text for text in own if text.startswith("{") and text.count("\n") < 2]


def varying_names(format_name: str) -> set[str]:
    """The varying fields of the format."""
    return {field.path[-1] for field in fields.declared(format_name) if field.role}


def leaves(made: Any, called: str = "") -> list[tuple[Any, Any, str]]:
    """Each scalar: its container, its key there, and the name of its member."""
    found = []
    for name, value in list(made.items() if isinstance(made, dict) else enumerate(made)):
        own = called or str(
            made["key"] if name == "value" and "key" in made else "" if isinstance(value, dict | list) else name
        )
        found += leaves(value, own) if isinstance(value, dict | list) else [(made, name, own)]
    return found


def varied(chance: random.Random, value: Any) -> Any:
    """Another value of the same form."""
    if isinstance(value, str) and re.search(r"[+-]\d\d:\d\d$", value):
        return value[:17] + f"{chance.randrange(60):02}" + value[19:]
    if isinstance(value, str):
        return value[:-2] + "".join(str(chance.randrange(10)) if c.isdigit() else c for c in value[-2:])
    if isinstance(value, bool) or value is None:
        return value
    return value + chance.randrange(100) if isinstance(value, int) else round(value + chance.randrange(1000) / 1000, 6)


def somewhere(chance: random.Random, made: dict[str, Any]) -> tuple[Any, Any]:
    """A container and a key in it, chosen at random."""
    inside: list[tuple[Any, Any]] = [(made, name) for name in made]
    for _ in range(chance.randrange(4)):
        place, name = chance.choice(inside)
        value = place[name]
        if isinstance(value, dict | list) and value:
            inside = [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    return chance.choice(inside)


def restructured(chance: random.Random, made: dict[str, Any], names: list[str]) -> None:
    """Change the structure of one object or list; a member may appear under another of the `names`."""
    place, name = somewhere(chance, made)
    value = place[name]
    what = chance.randrange(8)
    if what == 0:
        place[name] = [value]
    elif what == 1 and isinstance(value, list):
        place[name] = chance.choice([[], value * 2, value[::-1], value[:1]])
    elif what == 2 and isinstance(value, dict):
        place[name] = dict(chance.sample(list(value.items()), len(value)))
    elif what == 3 and isinstance(value, dict):
        value["note"] = copy.deepcopy(chance.choice(EXTRA))
    elif what == 4 and isinstance(place, dict):
        place[chance.choice([str(name).upper(), str(name) + " ", "note"])] = place.pop(name)
    elif what > 5 and isinstance(place, dict):
        place[chance.choice(names)] = copy.deepcopy(value)
    elif what > 5 and isinstance(value, dict):
        place.append(value | {"key": chance.choice(names)})
    else:
        place[name] = copy.deepcopy(chance.choice([*EXTRA, *NUMBERS]))


def twice(chance: random.Random, raw: str) -> str:
    """The line with one member repeated, with the same value or another."""
    members = re.findall(r'"[^"]+"\s*:\s*(?:"[^"]*"|[0-9.]+)', raw)
    member = chance.choice(members or ["}"])
    return raw.replace(member, f"{member}, {chance.choice([member, varied(chance, member)])}", 1)
