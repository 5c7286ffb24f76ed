"""The bad inputs that Tollbook must survive, 86 kinds, and what is demanded of each. Sent among 1,000 good events.

A row is an `Input` (bytes through ingest), or an `Elsewhere`: the kind shows only in the lake, on a broker, at HTTP or in an
invoice, and a test that bears its name proves it. Rows of one number are faces of one kind.
"""

import json
from typing import Any, NamedTuple

from tests.ingest.fixtures import T0_MS, changed, kong, line

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "request",
    "id": "bad",
    "source": "svc",
    "subject": "acme",
    "time": "2026-10-01T00:00:00Z",
    "data": {"method": "GET", "route": "orders", "status_code": 200, "request_bytes": 7, "response_bytes": 9},
}
TEXT = json.dumps(EVENT)
DAY_MS, MINUTE_MS = 86_400_000, 60_000


class Input(NamedTuple):
    """One kind: `value` is the value of a record (`whole`: cannot be a line of a file), and what must become of its entries."""

    number: int
    name: str
    format: str
    value: bytes | None
    reasons: tuple[str, ...] = ()  # of the entries that are refused
    counted: int = 0  # entries that are counted
    whole: bool = False
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes | None = None
    late_ms: int = 0  # how long after T0 it was received
    shows: dict[str, Any] = {}  # noqa: RUF012  # columns of the first counted one
    detail: str = ""  # part of the first refusal's detail


class Elsewhere(NamedTuple):
    """One kind that a test in another place proves: `tests/…/test_x.py::test_…`, the product's own words for its outcome."""

    number: int
    name: str
    test: str
    outcome: str


def event(**changes: Any) -> bytes:
    """A usage event as a line; a dotted name (with __) changes or, by None, drops a field."""
    return line(changed(json.loads(TEXT), **changes))


def units(number: str) -> bytes:
    """A usage event whose quantity is written as `number`."""
    return TEXT.replace('"request_bytes": 7', f'"request_bytes": {number}').encode() + b"\n"


def put(text: str, by: str) -> bytes:
    """The event with a piece of its text replaced."""
    assert text in TEXT
    return TEXT.replace(text, by).encode() + b"\n"


def tagged(partner: object, **changes: Any) -> bytes:
    """A gateway's line that names its partner itself."""
    return line(kong("bad", consumer=None, partner=partner, **changes))


def rows(number: int, name: str, format_name: str, *values: bytes, **outcome: Any) -> list[Input]:
    """Faces of one kind, with one outcome."""
    return [Input(number, f"{name} ({i})" if len(values) > 1 else name, format_name, v, **outcome) for i, v in enumerate(values)]  # fmt: skip


def one(number: int, name: str, value: bytes, reason: str | None = None, **outcome: Any) -> Input:
    """A usage event: refused for `reason`, or counted."""
    return Input(number, name, "cloudevents", value, (reason,) if reason else (), counted=0 if reason else 1, **outcome)


def gateway(number: int, name: str, value: bytes, reason: str | None = None, **outcome: Any) -> Input:
    """A line of a gateway that names partners itself: refused for `reason`, or counted."""
    return Input(number, name, "kong", value, (reason,) if reason else (), counted=0 if reason else 1, **outcome)


AVRO = b"\x00\x00\x00\x00\x07" + b"\x06abc\x0eorders1"  # a schema's number, then two texts with their lengths
PROTOBUF = b"\x12\x04acme\x1a\x06orders \x07"

INPUTS: list[Input] = [
    Input(1, "an empty value", "cloudevents", b"", ("EMPTY",), whole=True),
    Input(2, "a null value", "cloudevents", None, ("TOMBSTONE",), whole=True),
    one(3, "no JSON", b"hello\n", "NOT_JSON"),
    gateway(3, "no JSON, of a gateway", b"hello\n", "NOT_JSON"),
    one(4, "cut", TEXT.encode()[:-9] + b"\n", "NOT_JSON", detail=f"at byte {len(TEXT) - 9}"),
    gateway(4, "a gateway's line, cut", tagged("acme")[:-9] + b"\n", "NOT_JSON", detail="at byte"),
    one(5, "an object and more", TEXT.encode() + b" trailing\n", "TRAILING_DATA"),
    one(5, "two objects", TEXT.encode() + b" " + TEXT.encode() + b"\n", "TRAILING_DATA"),
    gateway(5, "two objects, of a gateway", tagged("acme").rstrip() + b" " + tagged("acme"), "TRAILING_DATA"),
    *rows(6, "no object", "cloudevents", b"[1]\n", b'["text"]\n', b'"text"\n', b"12\n", b"null\n", b"[[]]\n", reasons=("NOT_OBJECT",)),
    *rows(6, "no object, of a gateway", "kong", b"[]\n", b'"text"\n', b"12\n", reasons=("NOT_OBJECT",)),
    one(7, "bytes that are no UTF-8", put('"orders"', '"XY"').replace(b"XY", b"\xc3\x28"), "BAD_UTF8"),
    one(7, "a single continuation byte", b"\x80\n", "BAD_UTF8"),
    *rows(
        8, "UTF-16 and UTF-32", "cloudevents", TEXT.encode("utf-16"), b"\xfe\xff" + TEXT.encode("utf-16-be"), TEXT.encode("utf-32"),
        b"\x00\x00\xfe\xff" + TEXT.encode("utf-32-be"), reasons=("BAD_ENCODING",), whole=True,
    ),
    one(9, "a byte order mark", b"\xef\xbb\xbf" + event()),
    gateway(9, "a byte order mark, of a gateway", b"\xef\xbb\xbf" + tagged("acme")),
    one(10, "half a surrogate pair", put('"orders"', '"\\ud800"'), "BAD_UTF8"),
    one(11, "NUL in the id", event(id="a\x00b"), "CONTROL_CHAR"),
    one(11, "NUL in free text", event(data__route="a\x00b")),
    one(12, "a field twice", put('"request_bytes": 7', '"request_bytes": 1, "request_bytes": 9'), "DUPLICATE_KEY"),
    one(12, "a field twice, once in disguise", put('"subject": "acme"', '"subject": "acme", "\\u0073ubject": "bolt"'), "DUPLICATE_KEY"),
    gateway(12, "a partner twice", tagged("acme").replace(b'"partner"', b'"partner": "bolt", "partner"'), "DUPLICATE_KEY"),
    one(13, "10,000 levels", put('"method": "GET"', '"deep": ' + '{"a":' * 5000 + "[" * 5000 + "]" * 5000 + "}" * 5000), "TOO_DEEP"),
    one(13, "33 levels", put('"method": "GET"', '"deep": ' + "[" * 31 + "]" * 31), "TOO_DEEP"),
    one(13, "32 levels", put('"method": "GET"', '"deep": ' + "[" * 30 + "]" * 30)),
    gateway(13, "10,000 levels, of a gateway", b'{"deep": ' + b"[" * 10_000 + b"]" * 10_000 + b"," + tagged("acme")[1:], "TOO_DEEP"),
    one(14, "a text of 1 MB", event(data__route="x" * 1_000_000), "TOO_LARGE"),
    one(14, "64 KiB and a byte", event(data__note="x" * (65_536 - len(event(data__note="")) + 1)), "TOO_LARGE"),
    one(14, "64 KiB", event(data__note="x" * (65_536 - len(event(data__note=""))))),
    gateway(14, "a gateway's line of more than 1 MiB", tagged("acme", x="x" * (1 << 20)), "TOO_LARGE"),
    one(16, "100,000 fields", b'{"specversion":"1.0",' + b",".join(b'"%d":1' % i for i in range(100_000)) + b"}\n", "TOO_MANY_FIELDS"),
    one(16, "257 fields", event(data={f"f{i}": i for i in range(250)}), "TOO_MANY_FIELDS"),
    one(16, "256 fields", event(data={f"f{i}": i for i in range(249)})),
    one(17, "fields that nobody knows", event(extra={"a": [1, {"b": None}]}, data__more="x")),
    *rows(18, "no numbers", "cloudevents", *map(units, ["NaN", "Infinity", "-Infinity"]), reasons=("NOT_JSON",)),
    *rows(19, "beyond all numbers", "cloudevents", *map(units, ["1e400", "-1e400", "1e-400"]), reasons=("NUMBER_RANGE",)),
    one(20, "5,000 digits", units("9" * 5000), "NUMBER_RANGE"),
    one(21, "2^53 + 1", units("9007199254740993"), shows={"request_bytes": 9007199254740993}),
    one(22, "half a unit", units("1.5"), "NOT_INTEGER"),
    *rows(23, "below zero", "cloudevents", units("-1"), put('"response_bytes": 9', '"latency_ms": -0.5'), reasons=("NEGATIVE",)),
    one(24, "zero", units("0"), shows={"request_bytes": 0}),
    *rows(25, "a text for a number", "cloudevents", units('"7"'), units('""'), put('"response_bytes": 9', '"latency_ms": "1"'), reasons=("WRONG_TYPE",)),
    *rows(26, "something else for a number", "cloudevents", *map(units, ["true", "{}", "[7]"]), reasons=("WRONG_TYPE",)),
    one(27, "10^15 units", units("1000000000000000"), shows={"request_bytes": 10**15}),
    one(28, "minus zero is zero", units("-0"), shows={"request_bytes": 0}),
    *rows(28, "whole, but not written so", "cloudevents", units("1e3"), units("1.0"), reasons=("NOT_INTEGER",)),
    *rows(29, "no id", "cloudevents", event(id=None), put('"id": "bad"', '"id": null'), reasons=("NO_ID",)),
    *rows(30, "an id of nothing", "cloudevents", event(id=""), event(id="   "), reasons=("BAD_ID",)),
    *rows(31, "an id that is too long", "cloudevents", event(id="x" * 300), event(id="x" * 129), reasons=("BAD_ID",)),
    one(31, "an id as long as may be", event(id="x" * 128)),
    one(32, "an id that is a number", event(id=123), "WRONG_TYPE"),
    one(32, "a number as text is another id", event(id="123")),
    Input(33, "ids that differ by case", "cloudevents", event(id="bad-A") + event(id="bad-a"), counted=2),
    Input(34, "ids that are equal after NFC", "cloudevents", event(id="bad-\u00e9") + event(id="bad-e\u0301"), counted=2),
    *rows(41, "no partner", "cloudevents", event(subject=None), put('"subject": "acme"', '"subject": null'), event(subject=""), reasons=("NO_PARTNER",)),
    *rows(41, "no partner, of a gateway", "kong", tagged(None), tagged(""), reasons=("NO_PARTNER",)),
    one(42, "a partner that nobody knows", event(subject="nobody"), "UNKNOWN_PARTNER"),
    gateway(42, "a partner that nobody knows, of a gateway", tagged("nobody"), "UNKNOWN_PARTNER"),
    one(43, "a suspended partner", event(subject="sleepy"), shows={"partner_id": "sleepy", "suspended": True}),
    *rows(44, "a path", "cloudevents", *(event(subject=s) for s in ("../../etc/passwd", "a/b", "..", ".", "CON")), reasons=("BAD_PARTNER",)),
    *rows(45, "a path in disguise", "cloudevents", event(subject="%2e%2e%2f"), event(subject="a%00b"), reasons=("BAD_PARTNER",)),
    *rows(46, "line ends and escapes", "kong", tagged("a\nb"), tagged("\x1b[31macme"), tagged("acme\r\n"), reasons=("BAD_PARTNER",)),
    gateway(47, "a statement", tagged("'; DROP TABLE usage;--"), "BAD_PARTNER"),
    gateway(48, "a formula", tagged("=cmd|'/c calc'!A1"), "BAD_PARTNER"),
    *rows(
        49, "a name that looks like another", "kong", tagged("\u202eacme"), tagged("\u0430cme"), tagged("acme "), tagged("ACME"), tagged("a" * 65),
        reasons=("BAD_PARTNER",),
    ),
    gateway(50, "another partner than the credential's", line(kong("bad", partner="bolt")), "PARTNER_MISMATCH"),
    gateway(51, "another partner than the key's", tagged("acme"), "KEY_MISMATCH", key=b"bolt", whole=True),
    gateway(51, "the key's partner", tagged("acme"), key=b"acme", whole=True),
    *rows(52, "no time", "cloudevents", event(time=None), put('"2026-10-01T00:00:00Z"', "null"), reasons=("NO_TIME",)),
    *rows(53, "microseconds and nanoseconds", "kong", tagged("acme", started_at=T0_MS * 1000), tagged("acme", started_at=T0_MS * 10**6), reasons=("TIME_RANGE",)),
    *rows(53, "milliseconds and seconds", "kong", tagged("acme", started_at=T0_MS), tagged("acme", started_at=T0_MS // 1000), counted=1),
    *rows(54, "no zone", "cloudevents", event(time="2026-10-01T00:00:00"), event(time="2026-10-01 00:00:00.5"), reasons=("NO_ZONE",)),
    *rows(
        55, "all zones", "cloudevents", *(event(time=f"2026-10-01T{t}") for t in ("14:00:00+14:00", "00:00:00Z", "00:00:00z")), event(time="2026-09-30T12:00:00-12:00"),
        counted=1, shows={"partner_id": "acme"},
    ),
    one(56, "a leap second", event(time="2026-09-30T23:59:60Z")),
    *rows(
        57, "no such time", "cloudevents", *(event(time=f"2026-{t}:00:00Z") for t in ("02-30T00", "10-01T25", "13-01T00")), reasons=("BAD_TIME",)
    ),
    *rows(
        58, "years out of reach", "cloudevents", *(event(time=f"{year}-10-01T00:00:00Z") for year in ("1969", "9999", "-2026", "12026")), reasons=("TIME_RANGE",)
    ),
    one(59, "6 minutes ahead", event(time="2026-10-01T00:06:00Z"), "IN_FUTURE", whole=True),
    one(59, "just not too far ahead", event(time="2026-10-01T00:04:59.999Z"), whole=True),
    one(60, "36 days old", event(), "TOO_LATE", late_ms=36 * DAY_MS, whole=True),
    one(60, "35 days old", event(), late_ms=35 * DAY_MS, whole=True),
    one(63, "a local time that exists twice", event(time="2026-10-25T02:30:00"), "NO_ZONE"),
    *rows(64, "no known schema", "cloudevents", event(specversion=None), event(specversion="2.0"), event(specversion="latest"), reasons=("SCHEMA_UNKNOWN",)),
    *rows(65, "no known type", "cloudevents", event(type="prompt"), event(type=None), reasons=("UNKNOWN_METER",)),
    *rows(66, "no status", "cloudevents", *(event(data__status_code=s) for s in (99, 600, "200", -1, 200.5)), reasons=("BAD_STATUS",)),
    *rows(66, "an absent status", "cloudevents", event(data__status_code=None), put('"status_code": 200', '"status_code": null'), counted=1, shows={"status": None}),
    *rows(
        67, "sizes out of range", "kong", tagged("acme", request__size=-1), tagged("acme", latencies__request=-1), tagged("acme", response__size=10**18),
        reasons=("NUMBER_RANGE",),
    ),
    one(67, "an event's size out of range", units("1000000000000000000"), "NUMBER_RANGE"),
    gateway(68, "a path with a long query", tagged("acme", request__uri="/v1?apikey=canary" + "x" * 8000)),
    *(
        gateway(69, f"the address {ip}", tagged("acme", client_ip=ip), shows={"client_network": network})
        for ip, network in (
            ("2001:db8:85a3::1", "2001:db8:85a3::/48"), ("::ffff:198.51.100.9", "198.51.100.0/24"), ("unknown", None), ("203.0.113.9, 10.0.0.1", "203.0.113.0/24"),
        )
    ),
    gateway(70, "a user agent with markup", tagged("acme", request__headers={"user-agent": "<script>alert(1)</script> \U0001f600"})),
    Input(71, "headers of others", "kong", tagged("acme"), counted=1, whole=True, headers=(("Faust-Ag-ReplyTo", b"topic"), ("x", b"\xff\xfe"))),
    Input(71, "a thousand headers", "kong", tagged("acme"), counted=1, whole=True, headers=tuple((f"h{i}", b"v") for i in range(1000))),
    Input(
        75, "one bad in a batch of 10,000", "cloudevents",
        b"[" + b",".join(event(id=f"bad-{i}", time="soon" if i == 5000 else EVENT["time"]).strip() for i in range(10_000)) + b"]\n",
        ("BAD_TIME",), counted=9_999,
    ),
    Input(80, "blank lines, CRLF, no last newline", "cloudevents", b"\r\n\n  \n" + event(id="bad-1").rstrip() + b"\r\n\n" + event(id="bad-2").rstrip(), counted=2),
    one(84, "Avro", AVRO + b"\n", "NOT_JSON"),
    one(84, "Protobuf", PROTOBUF + b"\n", "NOT_JSON"),
]  # fmt: skip

_LANDED = "tests/tollbook/test_bad_inputs_landed.py::"
_KAFKA = "tests/tollbook/test_bad_records_kafka.py::"
_FILES = "tests/ingest/test_file_log.py::"
_INPUT = "tests/tollbook/test_bad_input.py::"
ELSEWHERE = [
    Elsewhere(15, "a record of 5 MB", _KAFKA + "test_a_record_beyond_the_brokers_limit_is_the_senders_error", "the producer's error"),
    Elsewhere(27, "10^15 units are not billed unseen", _LANDED + "test_an_event_of_an_unlikely_size_forbids_the_close_until_it_is_released", "the close is refused"),
    Elsewhere(35, "the same id and payload", _LANDED + "test_what_identity_decides", "duplicate"),
    Elsewhere(36, "the same id, another payload", _LANDED + "test_what_identity_decides", "ID_CONFLICT"),
    Elsewhere(37, "the same id of another source", _LANDED + "test_what_identity_decides", "two events"),
    Elsewhere(38, "the same id, another partner", _LANDED + "test_what_identity_decides", "ID_CONFLICT"),
    Elsewhere(39, "the same id after the horizon", _LANDED + "test_what_identity_decides", "duplicate"),
    Elsewhere(40, "1,000 copies in a batch", _LANDED + "test_what_identity_decides", "1 counted, 999 duplicates"),
    Elsewhere(61, "in a closed, invoiced month", _LANDED + "test_usage_of_an_invoiced_month_is_reported_and_the_invoice_stays", "late usage"),
    Elsewhere(62, "on the edge of window and month", _LANDED + "test_an_instant_on_an_edge_belongs_to_what_begins_there", "the right side only"),
    Elsewhere(72, "gzip, whole and damaged", _INPUT + "test_a_file_that_cannot_be_read_is_named_and_the_others_are_read", "decoded, or named"),
    Elsewhere(73, "a bomb", _LANDED + "test_a_bomb_is_one_refusal_in_little_memory", "TOO_LARGE"),
    Elsewhere(77, "the same batch twice", _LANDED + "test_what_identity_decides", "counted once"),
    Elsewhere(81, "a line cut by rotation", _FILES + "test_an_unfinished_last_line_waits_for_its_rest", "read when whole"),
    Elsewhere(82, "copytruncate and reused inodes", _FILES + "test_two_logs_with_the_same_beginning_are_told_apart", "told apart"),
    Elsewhere(83, "a record whose checksum is wrong", _KAFKA + "test_a_damaged_record_ends_the_worker_and_is_not_passed_over", "the worker ends"),
    Elsewhere(85, "partitions without records", _KAFKA + "test_partitions_without_records_harm_nobody", "offsets advance"),
    Elsewhere(86, "usage without a price", _INPUT + "test_usage_that_cannot_be_priced_blocks_the_close_and_nothing_is_written", "the close is refused"),
]  # fmt: skip
# What only HTTP can show, by the tests of `tollbook serve`.
_SERVE, _FAULTS = "tests/tollbook/test_serve.py::", "tests/tollbook/test_serve_faults.py::"
HTTP_ONLY = [
    Elsewhere(
        74, "a body that is cut", _SERVE + "test_a_body_that_was_cut_is_not_half_counted", "400, nothing counted"
    ),
    Elsewhere(
        76, "a batch beyond the limit", _SERVE + "test_a_body_that_cannot_be_taken_is_told_why", "413, nothing counted"
    ),
    Elsewhere(
        78, "a sender that hangs up", _FAULTS + "test_who_hangs_up_and_sends_again_is_counted_once", "counted once"
    ),
    Elsewhere(
        79, "a sender of one byte a second", _FAULTS + "test_a_sender_that_dribbles_is_put_out_in_time", "closed"
    ),
]
