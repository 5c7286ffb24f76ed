"""The template cache and the JSON scan: every line gives what the statement alone would give."""

import copy
import json
import os
import random
import re
import subprocess
import sys
import threading
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingest.attribution.catalog_rules import attribution
from ingest.decode import field_layout
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import LIMITS, SourceRules, prepare
from ingest.decode.template_cache import LineBounds, LineOrigin, TemplateCache
from kernels import json_scan as kernel
from kernels.json_layout import STEPS_MAX
from tests.ingest.both_ways import Counting, pair, same
from tests.ingest.fixtures import OWNERS, T0_MS, changed, kong, line
from tests.ingest.mutated_lines import (
    ADDRESSES,
    APIGW,
    BYTES,
    EXTRA,
    IDS,
    LINES,
    NUMBERS,
    TIMES,
    WITH_TEMPLATES,
    leaves,
    mutated,
    own_lines,
    restructured,
    twice,
    varied,
    varying_names,
)
from tests.ingest.test_credential_types import ROLE, catalog, iam
from tests.ingest.test_decode import HOSTILE
from tests.ingest.test_outside import got
from tests.long import LONG

pytestmark = pytest.mark.integration

FORMATS = ["aws_apigw", "kong"]
OWN = {"aws_apigw": line(APIGW), "kong": line(kong())}
ANY_BYTE = [bytes([code]) for code in b'xX\x00\x1f \t"\\\x7f\xa2{}[],:0-.']
OWNED = ["c-acme", "c-acme", "c-moved", "c-ended", "c-sleepy", "nobody", None]


def some(chance: random.Random, usual: Any, odd: list[Any]) -> Any:
    return usual if chance.random() < 0.93 else chance.choice(odd)


def record(format_name: str, chance: random.Random, n: int) -> dict[str, Any]:
    """A record that is mostly like the others, with random changes in any member."""
    time = some(chance, T0_MS + chance.randrange(-5_000, 5_000), TIMES)
    size, took = some(chance, chance.randrange(10_000), NUMBERS), some(chance, chance.randrange(900), NUMBERS)
    extra = {"note": some(chance, "n", EXTRA)} if chance.random() < 0.2 else {}
    if format_name == "kong":
        made = changed(
            kong(), request__size=size, response__size=some(chance, 12, NUMBERS), response__status=some(chance, 200, NUMBERS), latencies__request=took,
            started_at=time, client_ip=some(chance, "203.0.113.9", ADDRESSES), request__method=chance.choice(["GET", "POST"]),
            route=some(chance, {"name": "orders"}, [{"id": "r1"}, {}, None, "x", 1, [], {"name": None}]),
        )  # fmt: skip
        made["request"]["id"] = some(chance, f"id-{n}", IDS)
        made["consumer"] = {"id": chance.choice(OWNED)}
        if chance.random() < 0.1:
            made["response"]["headers"] = {"x-kong-request-id": chance.choice([f"h-{n}", made["request"]["id"]])}
        return made | extra
    made = APIGW | {
        "extendedRequestId": some(chance, f"x-{n}", IDS), "requestId": some(chance, f"r-{n}", IDS), "requestTimeEpoch": some(chance, str(time), TIMES),
        "responseLength": some(chance, str(size), NUMBERS), "responseLatency": took, "status": some(chance, "200", NUMBERS),
        "ip": some(chance, "203.0.113.9", ADDRESSES), "path": f"/prod/{n}",
    }  # fmt: skip
    if chance.random() < 0.1:
        del made[chance.choice(list(made))]
    if chance.random() < 0.05:
        made["routeKey"] = "GET /"
    if chance.random() < 0.05:
        made["requestId"] = made.get("extendedRequestId")
    return made | extra


def text(format_name: str, chance: random.Random, n: int) -> bytes:
    """A record as a line, sometimes in another order, with a duplicate member, or damaged."""
    made = record(format_name, chance, n)
    if chance.random() < 0.05:
        made = dict(chance.sample(list(made.items()), len(made)))
    raw = json.dumps(made, ensure_ascii=chance.random() < 0.5, separators=chance.choice([(",", ":"), (", ", ": ")]))
    if chance.random() < 0.05:
        name = chance.choice(list(made))
        raw = "{" + json.dumps(name) + ":" + json.dumps(some(chance, made[name], [*NUMBERS, *IDS])) + "," + raw[1:]
    if chance.random() < 0.03:
        raw = '{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{"message":' + json.dumps(raw) + "}]}"
    if chance.random() < 0.03:
        raw = chance.choice(
            ["[" + raw + "," + raw + "]", " " + raw, raw + " ", raw + raw, raw[: chance.randrange(len(raw))]]
        )
    changed_bytes = bytearray(raw.encode())
    while changed_bytes and chance.random() < 0.05:
        changed_bytes[chance.randrange(len(changed_bytes))] = chance.choice(BYTES)
    return bytes(changed_bytes) + b"\n"


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize("seed", range(100 if LONG else 4))
@pytest.mark.parametrize("format_name", FORMATS)
def test_any_lines_give_what_the_statement_gives(format_name: str, seed: int) -> None:
    """Several blocks, so that templates of one block are used in the next."""
    chance = random.Random(seed)
    decoders = pair(format_name)
    for block in range(3):
        raw = b"".join(text(format_name, chance, n) for n in range(700))
        same(decoders, raw, start=block * 1_000_000)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("format_name", WITH_TEMPLATES if LONG else [*FORMATS, "otlp"])
def test_any_byte_of_a_line_is_another(format_name: str) -> None:
    """The scan compares eight bytes at a time: every byte occurs at every offset, also after a line that matched."""
    decoders = pair(format_name)
    good = OWN[format_name] if format_name in OWN else LINES[format_name][0].rstrip("\n").encode() + b"\n"
    same(decoders, good * 3)
    for n, other in enumerate(ANY_BYTE if LONG else ANY_BYTE[::2], 1):
        raw = b"".join(good + good[:i] + other + good[i + 1 :] for i in range(len(good) - 1))
        same(decoders, raw, start=n * 1_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_ids_of_any_length_that_hold_any_character(format_name: str) -> None:
    """Also at the end of the text, where fewer than eight bytes are left."""
    member = "extendedRequestId" if format_name == "aws_apigw" else "request__id"
    own = ["i" * length for length in range(1, 131)]  # the first of a kind is good
    own += [
        "i" * at + chr(code) + "d" * behind
        for code in [*range(33), 34, 92, 126, 127, 128, 233, 0x2028]
        for at in range(10)
        for behind in (0, 1, 7, 8, 9)
    ]
    made = [APIGW | {member: each} if format_name == "aws_apigw" else changed(kong(), **{member: each}) for each in own]
    raw = [json.dumps(each, ensure_ascii=False).encode() for each in made]
    decoders = pair(format_name)
    for last in range(9):
        same(decoders, b"\n".join(raw[: len(raw) - last]), start=last * 10_000_000)


@pytest.mark.sampled(keep=0, whole=8)
@pytest.mark.parametrize("seed", range(30 if LONG else 1))
@pytest.mark.parametrize("format_name", WITH_TEMPLATES)
def test_mutated_lines_give_what_the_statement_gives(format_name: str, seed: int) -> None:
    """Most of them are read by their templates, or the comparison would prove nothing."""
    lines = mutated(format_name, random.Random(seed), 900)
    decoders = pair(format_name, SourceRules("edge", partner="acme"))
    for _ in range(2):
        same(decoders, b"".join(lines))
    assert decoders[1].asked < 700  # of 1,800: first lines of templates, and lines that are unusual


@pytest.mark.sampled(keep=0, whole=8)
@pytest.mark.parametrize("seed", range(20 if LONG else 1))
@pytest.mark.parametrize("format_name", WITH_TEMPLATES)
def test_lines_that_begin_alike_and_then_differ(format_name: str, seed: int) -> None:
    """Lines with a common beginning: where they differ the recorded steps end, and new ones serve the next line."""
    chance = random.Random(seed)
    good = [json.loads(text) for text in own_lines(format_name)]
    varying = sorted(varying_names(format_name))
    decoders = pair(format_name, SourceRules("edge", partner="acme"))
    for separators in ((",", ":"), (" , ", " : ")):
        lines = []
        for _ in range(60 if LONG else 20):
            made = copy.deepcopy(chance.choice(good))
            other = copy.deepcopy(made)
            for _ in range(chance.randrange(1, 3)):
                restructured(chance, other, varying)
            raw, changed_raw = (json.dumps(each, separators=separators) for each in (made, other))
            lines += [raw, raw, changed_raw, chance.choice([changed_raw, twice(chance, changed_raw)]), raw, changed_raw]
        same(decoders, "\n".join(lines).encode() + b"\n")


def test_steps_end_where_the_scan_gave_up() -> None:
    """Stale steps belong to other objects: here a request's id where a consumer's id is now."""
    given = kong()
    request = {"method": "GET"} | {name: value for name, value in given["request"].items() if name != "id"}
    latter = {name: value for name, value in given.items() if name not in ("request", "consumer")}
    good = {"request": {"method": "GET", "id": "one", **request}, **latter, "consumer": given["consumer"]}
    others = [
        {"consumer": {"username": "u", "id": consumer}, "request": request, **latter}
        for consumer in ("c-acme", "c-acme", "c-globex")
    ]
    broken = json.dumps(others[0]).replace('"c-acme"', "7e0")
    lines = [json.dumps(good), broken, *map(json.dumps, others), json.dumps(good)]
    same(pair("kong"), "\n".join(lines).encode() + b"\n")


def test_a_duplicate_name_is_found_after_a_line_that_the_scan_gave_up() -> None:
    """A line that follows recorded steps has the names of the previous line, as far as the steps go."""
    good = json.dumps({"note": 1} | json.loads(LINES["cloudevents"][0]))
    left_alone, twice = good.replace('"note": 1', '"nota": 1e0'), good[:-1] + ', "note": 2}'
    lines = [good, good, left_alone, twice, good]
    decoded = same(pair("cloudevents", SourceRules("edge", partner="acme")), "\n".join(lines).encode() + b"\n")
    assert (decoded.events.num_rows, decoded.refused.num_rows) == (4, 1)


@pytest.mark.parametrize("names", [1, STEPS_MAX - 20, STEPS_MAX - 10, STEPS_MAX, 3 * STEPS_MAX])
@pytest.mark.slow
def test_a_line_of_any_number_of_names(names: int) -> None:
    """Also more than the recorded maximum, and one more or one less than in the previous line."""
    lines = []
    for n in range(40):
        headers = {f"x-{number}": "y" for number in range(names + n % 3 - 1)}
        lines.append(json.dumps({"none": headers, **changed(kong(), request__id=f"id-{n}", request__headers=headers)}))
    decoders = pair("kong")
    same(decoders, "\n".join(lines).encode() + b"\n")
    assert decoders[1].asked < 10


@pytest.mark.sampled(keep=3)
@pytest.mark.parametrize("format_name", WITH_TEMPLATES)
def test_the_statement_reads_few_of_a_formats_own_lines(format_name: str) -> None:
    """Each line has its own id, time, sizes and latency."""
    chance = random.Random(1)
    good = next(text for text in own_lines(format_name) if "tyk-analytics-record" not in text)
    varying = varying_names(format_name)
    lines = []
    for _ in range(300):
        made = json.loads(good)
        for place, name, called in leaves(made):
            if called in varying:
                place[name] = varied(chance, place[name])
        lines.append(line(made))
    decoders = pair(format_name, SourceRules("edge", partner="acme"))
    assert same(decoders, b"".join(lines)).events.num_rows == 300
    assert decoders[1].asked < 30


def test_no_latency_has_no_unit() -> None:
    """Version 1 gateways log milliseconds, others seconds; a first line with latency 0 does not tell which."""
    (good, *_) = [json.loads(text) for text in LINES["azure_appgw"] if "ApplicationGatewayRole_IN_" in text]
    raw = b"".join(line(changed(good, properties__timeTaken=took)) for took in (0, 5, 0, 7))
    got = same(pair("azure_appgw", SourceRules("edge", partner="acme")), raw)
    assert got.events["latency_us"].to_pylist() == [0, 5_000, 0, 7_000]


def test_a_time_that_is_not_a_number_is_given_by_another_member() -> None:
    """Two members that agree in the first line may differ in the next."""
    times = ("2026-10-01T00:00:00.000+00:00", "2026-10-01T00:00:00.100+00:00", "2026-10-01T00:00:07.000+00:00")
    raw = b"".join(
        line(APIGW | {"extendedRequestId": f"x-{n}", "requestTimeEpoch": time}) for n, time in enumerate(times)
    )
    decoded = same(pair("aws_apigw"), raw)
    assert decoded.events["occurred_at"].cast(pa.int64()).to_pylist() == [T0_MS * 1000] * 3


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_number_is_the_double_that_json_makes_of_it(quote: str) -> None:
    """A double may have a shorter text on the other side of a microsecond; a string keeps its digits."""
    good = LINES["caddy"][0].rstrip("\n")
    times = [f"179081280{n % 10}.{n:07}" for n in range(0, 10_000_000, 9_973)] + [
        f"1790812800.{'9' * n}" for n in range(1, 30)
    ]
    latencies = [f"{whole}.01234{half}" for whole in (0, 1, 123_456) for half in ("5", "55" + "0" * 9, "54" + "9" * 5, "54" + "9" * 9, "54" + "9" * 15)]  # fmt: skip
    lines = [re.sub(r'"ts":[0-9.]+', f'"ts":{quote}{time}{quote}', good) for time in times]
    lines += [re.sub(r'"duration":[0-9.]+', f'"duration":{quote}{each}{quote}', good) for each in latencies]
    decoders = pair("caddy", SourceRules("edge", partner="acme"))
    same(decoders, "\n".join([good, *lines]).encode() + b"\n")
    assert decoders[1].asked < 400


def test_a_request_that_ended_before_it_began_is_refused() -> None:
    start = T0_MS * 1_000_000
    good = {
        "RayID": "1",
        "EdgeStartTimestamp": start,
        "EdgeEndTimestamp": start + 5_000,
        "ClientRequestMethod": "GET",
        "EdgeResponseStatus": 200,
    }
    raw = b"".join(
        line(good | {"RayID": str(n), "EdgeEndTimestamp": start + after})
        for n, after in enumerate([5_000, -5_000, 0, 7_000])
    )
    got = same(pair("cloudflare", SourceRules("edge", partner="acme")), raw)
    assert got.events["latency_us"].to_pylist() == [5, 0, 7]
    assert got.refused["reason"].to_pylist() == ["NUMBER_RANGE"]


def test_a_request_of_thirty_years_is_refused() -> None:
    """10^15 microseconds are too many in both ways; one less is marked as unlikely, and counted."""
    start = T0_MS * 1_000_000
    good = {"EdgeStartTimestamp": start, "ClientRequestMethod": "GET", "EdgeResponseStatus": 200}
    after = (5_000, 10**18, 10**18 - 1_000, 10**18 + 1, 7_000)
    raw = b"".join(line(good | {"RayID": str(n), "EdgeEndTimestamp": start + ns}) for n, ns in enumerate(after))
    got = same(pair("cloudflare", SourceRules("edge", partner="acme")), raw)
    assert got.events["latency_us"].to_pylist() == [5, 10**15 - 1, 7]
    assert got.refused["reason"].to_pylist() == ["NUMBER_RANGE"] * 2


def test_of_two_latencies_the_one_that_counts_is_not_plain() -> None:
    """Both have the same value in the first line by chance."""
    made = []
    for seconds in ("0.0125", "0.5"):
        texts = {"http.request.method": "GET", "kong.latency.total": "1.25e1", "http.request.server.duration": seconds}
        attributes = [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]
        record = {"timeUnixNano": str(T0_MS * 1_000_000), "attributes": attributes}
        made.append(line({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}))
    got = same(pair("otlp", SourceRules("edge", partner="acme")), b"".join(made))
    assert got.events["latency_us"].to_pylist() == [12_500, 12_500]


def test_an_id_after_its_source_is_hashed_if_both_are_too_long() -> None:
    """The id of a usage event: the first lines are short, later lines of the template are not."""
    made = [
        {
            "specversion": "1.0",
            "id": "x" * size,
            "source": "shop",
            "type": "request",
            "time": f"2026-10-01T00:00:00.{size}Z",
            "subject": "acme",
        }
        for size in (5, 90, 122, 123, 124, 128)
    ]
    decoders = pair("cloudevents", SourceRules("edge", partner="acme"))
    got = same(decoders, b"".join(map(line, made)))
    assert [len(event_id) for event_id in got.events["event_id"].to_pylist()] == [10, 95, 127, 128, 64, 64]


def test_a_hash_that_ends_like_the_id_is_not_an_id_after_another_text() -> None:
    """By chance, in the first line: other lines of the template have hashes of their own."""
    source = next(
        s for s in (f"{'s' * 124}{n:03}" for n in range(1000)) if sha256(f"{s} a".encode()).hexdigest()[-1] == "a"
    )
    made = [
        {
            "specversion": "1.0",
            "id": own,
            "source": source,
            "type": "request",
            "time": "2026-10-01T00:00:00.5Z",
            "subject": "acme",
        }
        for own in "abc"
    ]
    got = same(pair("cloudevents", SourceRules("edge", partner="acme")), b"".join(map(line, made)))
    assert got.events["event_id"].to_pylist() == [sha256(f"{source} {own}".encode()).hexdigest() for own in "abc"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_hostile_lines_have_templates_like_others(format_name: str) -> None:
    """Each three times, among valid lines."""
    good = line(kong() if format_name == "kong" else APIGW)
    same(pair(format_name), b"".join([good, *HOSTILE] * 3))


def test_the_statement_reads_one_line_of_a_template() -> None:
    alone, counting = pair("kong")
    raw = b"".join(
        line(kong(f"id-{n}", started_at=T0_MS + n, request__method="GETPOST"[n % 2 * 3 :][:4])) for n in range(500)
    )
    same((alone, counting), raw)
    assert counting.asked == 2
    same((alone, counting), raw, start=1_000_000)
    assert counting.asked == 2


def test_the_statement_reads_every_refused_line() -> None:
    """Each is a dead letter with its own text."""
    alone, counting = pair("kong")
    got = same((alone, counting), b"".join(line(kong(f"id-{n}", consumer__id="nobody")) for n in range(50)))
    assert got.refused.num_rows == counting.asked == 50


def test_an_owner_changes_between_two_lines() -> None:
    """The lines differ only in time; one is billed to acme, the next to bolt."""
    raw = b"".join(line(kong(f"id-{n}", consumer__id="c-moved", started_at=T0_MS - 50 + n)) for n in range(100))
    got = same(pair("kong"), raw)
    assert got.events["partner_id"].to_pylist() == ["acme"] * 50 + ["bolt"] * 50


def test_time_limits_and_record_keys_apply_to_their_own_lines() -> None:
    """Some lines have time limits of their own, some a record key that names another partner."""
    raw = b"".join(line(kong(f"id-{n}", started_at=T0_MS + n)) for n in range(90))
    position = split_lines(raw, 0).lines["position"].to_numpy()
    rows = [
        {"position": p, "earliest_us": (T0_MS + 20) * 1000, "latest_us": (T0_MS + 80) * 1000, "key": ["acme", None, "bolt"][n // 3 % 3]}
        for n, p in enumerate(position.tolist())
        if n % 10
    ]  # fmt: skip
    got = same(pair("kong"), raw, limits=pa.Table.from_pylist(rows, LIMITS))
    assert set(got.refused["reason"].to_pylist()) == {"TOO_LATE", "IN_FUTURE", "KEY_MISMATCH"}
    assert got.events.num_rows > 40


def test_unknown_keys_have_no_templates() -> None:
    raw = b"".join(line(kong(f"id-{n}")) for n in range(30))
    position = split_lines(raw, 0).lines["position"].to_pylist()
    keys = ["nobody", "no one", "acme", None, ""]
    rows = [{"position": p, "earliest_us": 0, "latest_us": 1 << 62, "key": keys[n % 5]} for n, p in enumerate(position)]
    got = same(pair("kong"), raw, limits=pa.Table.from_pylist(rows, LIMITS))
    assert got.refused["reason"].to_pylist() == ["KEY_MISMATCH"] * 18


def test_the_limits_of_the_source_apply_to_templates_too() -> None:
    rules = SourceRules("edge", earliest_us=(T0_MS + 10) * 1000, latest_us=(T0_MS + 90) * 1000)
    raw = b"".join(line(kong(f"id-{n}", started_at=T0_MS + n)) for n in (50, *range(100)))
    assert same(pair("kong", rules), raw).refused.num_rows == 20


def test_years_out_of_range_are_refused() -> None:
    raw = b"".join(
        line(kong(f"id-{n}", started_at=time))
        for n, time in enumerate([T0_MS, 4_102_444_799_999, 4_102_444_800_000, 631_152_000_000, 631_151_999_999])
    )
    assert same(pair("kong"), raw).refused["reason"].to_pylist() == ["TIME_RANGE"] * 2


def test_a_partner_field_separates_templates() -> None:
    rules = SourceRules("edge", partner_field="meta/owner")
    raw = b"".join(line(kong(f"id-{n}") | {"meta": {"owner": ["acme", "bolt"][n % 2]}}) for n in range(20))
    assert same(pair("kong", rules), raw).refused["reason"].to_pylist() == ["PARTNER_MISMATCH"] * 10


@pytest.mark.parametrize("field", ["consumer", "consumer/id/x", "started_at"])
def test_a_partner_field_among_the_members_of_the_format(field: str) -> None:
    """Such a field cannot separate templates: the statement reads every line."""
    assert field_layout.layout_of("kong", field) is None
    same(pair("kong", SourceRules("edge", partner_field=field)), b"".join(line(kong(f"id-{n}")) for n in range(20)))


def test_duplicate_members_are_checked_where_partners_are_tagged() -> None:
    """A source that may tag is read strictly: with a duplicate name, the wrong partner could be billed."""
    rules = SourceRules("edge", partner_field="owner", may_tag=True)
    good = line(kong("id-1") | {"owner": "acme"})
    raw = good + good.replace(b"id-1", b"id-2").replace(b"}\n", b', "note": 1, "note": 2}\n')
    assert same(pair("kong", rules), raw).refused["reason"].to_pylist() == ["DUPLICATE_KEY"]


def test_unreadable_and_incomplete_lines_are_left_to_the_statement() -> None:
    """The readable beginning of such a line may look like any other line."""
    good = line(kong("id-1"))
    raw = good + good.replace(b"svc", b"sv\xff") + good[:-1]
    framed = split_lines(raw, 0, is_cut=True)
    alone, with_templates = (decoder.decode(framed, "gen") for decoder in pair("kong"))
    assert with_templates.refused.to_pylist() == alone.refused.to_pylist()
    assert sorted(alone.refused["reason"].to_pylist()) == ["BAD_UTF8", "PARTIAL_LINE"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_first_line_of_a_template_has_one_id_twice(format_name: str) -> None:
    """Other lines of the template have two different ids: the first line does not tell which one counts."""
    if format_name == "kong":
        lines = [
            kong(f"a-{n or 'b'}")
            | {"response": {"status": 200, "headers": {"x-kong-request-id": f"{'ab'[n > 0]}-{n or 'b'}"}}}
            for n in range(3)
        ]
    else:
        lines = [APIGW | {"requestId": f"{'ab'[n > 0]}-{n}", "extendedRequestId": f"a-{n}"} for n in range(3)]
    decoded = same(pair(format_name), b"".join(map(line, lines)))
    assert [event_id[0] for event_id in decoded.events["event_id"].to_pylist()] == ["a", "a", "a"]


def test_an_id_that_occurs_twice_in_a_line_is_left_to_the_statement() -> None:
    """The same id twice in the first line, two different ones in the next."""
    good = line(kong("id-1")).replace(b'"id": "id-1"', b'"id": "id-1", "id": "id-1"')
    decoded = same(pair("kong"), good + good.replace(b'"id-1", "id": "id-1"', b'"id-2", "id": "id-3"'))
    assert decoded.events["event_id"].to_pylist() == ["id-1", "id-2"]


def test_policies_read_every_line() -> None:
    """The lines differ only in the object that was read and the last number of the client address."""
    allowed = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::wholesale/a*"], "networks": ["203.0.113.0/25"]}
    raw = b"".join(got(key, ip) for key in "ab" for ip in ("203.0.113.7", "203.0.113.200"))
    decoded = same(pair("cloudtrail", owners=attribution(catalog(acme=[iam(ROLE, allow=[allowed])]))), raw)
    assert decoded.events["outside"].to_pylist() == [None, "NETWORK", "RESOURCE", "RESOURCE"]


def test_mapped_fields_separate_lines() -> None:
    raw = b"".join(line(kong(f"id-{n}") | {"door": ["front", "back"][n % 2]}) for n in range(6))
    decoded = same(pair("kong", SourceRules("edge", fields={"route": "door"})), raw)
    assert decoded.events["route"].to_pylist() == ["front", "back"] * 3


def test_an_envelope_is_recognised_by_the_beginning_of_its_line() -> None:
    """The same members, once after another one: then it is an access line with an envelope's members."""
    inside = line(APIGW).decode()
    envelope = (
        {"owner": "1", "logEvents": [{"message": inside}, {"message": inside}]} | APIGW | {"extendedRequestId": "outer"}
    )
    raw = line({"stage": "prod"} | envelope) * 2 + line(envelope)
    assert same(pair("aws_apigw"), raw).events["event_id"].to_pylist() == ["outer", "outer", "x-1", "x-1"]


def test_an_envelope_of_several_shares_no_template() -> None:
    """Its first entry looks like a line of the template: the same time, a derived id."""
    plain = {name: value for name, value in APIGW.items() if not name.endswith("equestId")}
    inside = {"message": line(plain).decode()}
    raw = line({"owner": "1", "logEvents": [inside, inside]} | plain)
    assert same(pair("aws_apigw"), raw * 2).events.num_rows == 4


@pytest.mark.parametrize("room", [1, 2, 64])
@pytest.mark.slow
def test_more_templates_than_fit(room: int) -> None:
    """The statement reads lines that do not fit; the next block starts with an empty table."""
    alone, _ = pair("kong")
    found = field_layout.layout_of("kong")
    assert found is not None
    templates = TemplateCache(found, partial(alone.numbers, found.typing), room)
    chance = random.Random(1)
    for _ in range(3):
        kinds = chance.sample(range(1000), 20)
        framed = split_lines(b"".join(line(kong(f"id-{n}", route__name=f"r{kinds[n % 20]}")) for n in range(200)), 0)
        spans = np.tile(np.array([0, 1 << 62]), (200, 1))
        bounds = LineBounds(spans, np.zeros(200, np.int64), np.zeros(1, np.int64))
        events, refused = templates.decode(
            framed, LineOrigin("edge", "gen"), bounds, lambda lines: alone.decode(lines, "gen")
        )
        assert events.to_pylist() == alone.decode(framed, "gen").events.to_pylist()
        assert refused.num_rows == 0


@pytest.mark.slow
def test_the_scan_pauses_if_few_lines_share_templates() -> None:
    """No scan for eight blocks, then another attempt."""
    alone, counting = pair("kong")
    for block in range(10):
        raw = b"".join(line(kong(f"id-{n}", route__name=f"r{block}-{n}")) for n in range(50))
        same((alone, counting), raw)
    same((alone, counting), b"".join(line(kong(f"id-{n}")) for n in range(50)))
    assert counting.asked == 550


def test_templates_are_used_in_small_blocks_once_there_were_many_lines() -> None:
    """A worker that keeps up reads few lines at a time. The statement reads them while the JSON scan is loaded."""
    counting = Counting("kong", SourceRules("edge"), OWNERS, templates_from=100)

    def asked(block: int) -> int:
        before = counting.asked
        raw = b"".join(line(kong(f"id-{block}-{n}")) for n in range(30))
        assert counting.decode(split_lines(raw, 0), "g").events.num_rows == 30
        return counting.asked - before

    assert [asked(block) for block in range(3)] == [30, 30, 30]
    asked(3)
    for thread in threading.enumerate():
        if thread.name == "load":
            thread.join()
    assert sum(asked(block) for block in range(4, 8)) <= 1


def test_prepare_loads_the_kernel_that_lines_use() -> None:
    """If the kernel were compiled for other array types, loading it early would be in vain."""
    prepare("kong")
    prepared = list(kernel.scan.signatures)
    same(pair("kong"), b"".join(line(kong(f"id-{n}")) for n in range(3)))
    assert len(prepared) == 1
    assert kernel.scan.signatures == prepared


@pytest.mark.slow
def test_kernels_compile_without_a_writable_cache() -> None:
    """A service without a home directory, in a package owned by root: no cache can be written, and none is."""
    code = "from kernels import json_text; print(json_text.value_end(memoryview(b'[472] '), 0))"
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | nowhere, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "5\n", done.stderr
