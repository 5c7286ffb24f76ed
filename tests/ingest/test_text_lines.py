"""Text logs: what a client can write into a quoted field changes neither the status nor the size of its call."""

from functools import cache
from typing import Any

import pytest

from ingest.__main__ import _record
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Parser

parser = cache(Parser)

# A line of each text format that quotes a request: its request line, user agent and time are to be filled in.
LINES = {
    "nginx": '203.0.113.9 - - [{clf}] "{request}" 200 1841 "-" "{agent}"',
    "apache": '203.0.113.9 - - [{clf}] "{request}" 200 1841 "-" "{agent}"',
    "kong": '203.0.113.9 - - [{clf}] "{request}" 200 1841 "-" "{agent}"',
    "traefik": '203.0.113.9 - - [{clf}] "{request}" 200 1841 "-" "{agent}" 41 "orders@docker" "http://10.0.0.4:80" 12ms',
    "haproxy": '203.0.113.9:35982 [{haproxy}] in~ shop/srv1 0/0/1/41/43 200 1841 - - ---- 1/1/0/0/0 0/0 "{request}"',
    "aws_alb": "http {iso} app/lb/1 203.0.113.9:2817 10.0.0.1:80 0.001 0.002 0.003 200 200 34 1841 "
    '"{request}" "{agent}" - - arn:tg "Root=1" "-" "-" 0',
    "s3_access": '79a5 shop [{clf}] 203.0.113.9 arn:aws:iam::444455556666:user/acme 63DA REST.GET.OBJECT k "{request}" 200 - 1841 1841 80 12 '
    '"-" "{agent}" - h= SigV4 ECDHE AuthHeader shop.s3.amazonaws.com TLSv1.2 - -',
    "envoy": '[{iso}] "{request}" 200 - 34 1841 6 5 "203.0.113.9" "{agent}" "id" "api.example" "10.0.0.4:80"',
    "istio": '[{iso}] "{request}" 200 - via_upstream - "-" 34 1841 6 5 "203.0.113.9" "{agent}" "id" "api.example" "10.0.0.4:80" '
    "outbound|80||orders 10.0.0.1:1 10.0.0.2:2 203.0.113.9:3 - default",
}
UNESCAPED = sorted(set(LINES) - {"haproxy"})  # HAProxy writes a quote as #22
ABSOLUTE = {"aws_alb"}  # the target is a URL
TIMES = {"clf": "05/Oct/2026:09:00:00 +0000", "haproxy": "05/Oct/2026:09:00:00.000", "iso": "2026-10-05T09:00:00.000Z"}
LEAP = {"clf": "31/Dec/2026:23:59:60 +0000", "haproxy": "31/Dec/2026:23:59:60.000", "iso": "2026-12-31T23:59:60.000Z"}


def read(format_name: str, text: str) -> dict[str, Any]:
    (row,) = parser(format_name).parse(split_lines(f"{text}\n".encode(), 0)).to_pylist()
    return _record(row)


def call(format_name: str, target: str, *, method: str = "GET", agent: str = "curl/8", **times: str) -> dict[str, Any]:
    where = f"http://api.example:80{target}" if format_name in ABSOLUTE else target
    request = f"{method} {where} HTTP/1.1"
    return read(format_name, LINES[format_name].format(request=request, agent=agent, **(times or TIMES)))


def counted(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry.get("status"), entry.get("response_bytes"), entry.get("refused")


@pytest.mark.sampled(keep=14)
@pytest.mark.parametrize("format_name", UNESCAPED)
@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param('/v1/orders?x="1"', "/v1/orders", id="around a value"),
        pytest.param('/v1/orders?x="', "/v1/orders", id="one"),
        pytest.param('/v1/orders?a=""&b=', "/v1/orders", id="empty"),
        pytest.param('/v1/"orders"', '/v1/"orders"', id="in the path"),
        pytest.param('/v1/orders"', '/v1/orders"', id="at the end"),
    ],
)
def test_a_raw_quote_in_a_request_is_part_of_it(format_name: str, target: str, path: str) -> None:
    """A caller can put one into a query at will, and must not become unbilled by it."""
    entry = call(format_name, target)
    assert counted(entry) == (200, 1841, None)
    assert (entry["method"], entry["path"]) == ("GET", path)


@pytest.mark.parametrize("format_name", sorted({"nginx", "apache", "kong", "traefik", "s3_access"}))
def test_a_quote_before_numbers_does_not_end_a_request(format_name: str) -> None:
    """Otherwise a client could choose the size of its response."""
    assert counted(call(format_name, '/v1/orders?x=" 200 0 "')) == (200, 1841, None)
    assert counted(call(format_name, '/v1/orders?x=" 200 - 0 0 1 1 "')) == (200, 1841, None)


@pytest.mark.sampled(keep=16)
@pytest.mark.parametrize("format_name", UNESCAPED)
@pytest.mark.parametrize(
    "agent", ['a "b" c', '"', '""', 'x" 500 7 "', '" HTTP/1.1" 500 7 "y"', '" HTTP/1.1" 500 - 7 7 1 1 "y']
)
def test_a_raw_quote_in_a_user_agent_changes_nothing(format_name: str, agent: str) -> None:
    entry = call(format_name, "/v1/orders", agent=agent)
    assert (*counted(entry), entry["path"]) == (200, 1841, None, "/v1/orders")


@pytest.mark.sampled(keep=12)
@pytest.mark.parametrize("format_name", sorted(LINES))
@pytest.mark.parametrize("method", ["get", "Get", "x-ray", "M-SEARCH"])
def test_a_method_may_be_any_token(format_name: str, method: str) -> None:
    entry = call(format_name, "/v1/orders", method=method)
    assert (*counted(entry), entry["method"]) == (200, 1841, None, method)


@pytest.mark.parametrize("format_name", sorted(LINES))
def test_a_leap_second_is_the_next_second(format_name: str) -> None:
    """23:59:60 is a time. Other servers write it once every few years, and then for one second of calls."""
    entry = call(format_name, "/v1/orders", **LEAP)
    assert (*counted(entry), entry["time"]) == (200, 1841, None, "2027-01-01T00:00:00.000Z")


@pytest.mark.parametrize("seconds", ["61", "99"])
def test_other_seconds_are_no_time(seconds: str) -> None:
    entry = read(
        "apache", LINES["apache"].format(request="GET / HTTP/1.1", agent="x", clf=f"31/Dec/2026:23:59:{seconds} +0000")
    )
    assert entry["refused"] == "BAD_TIME"


@pytest.mark.parametrize("format_name", ["nginx", "apache", "kong"])
@pytest.mark.parametrize("user", ["", '""', "a b", "[x", "-"])
def test_no_user_name_makes_a_line_unreadable(format_name: str, user: str) -> None:
    """NGINX writes the empty name of `Authorization: Basic Og==` as nothing, Apache as two quotes."""
    line = f'203.0.113.9 - {user} [05/Oct/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 1841 "-" "x"'
    entry = read(format_name, line)
    assert (*counted(entry), entry["time"]) == (200, 1841, None, "2026-10-05T09:00:00.000Z")


@pytest.mark.parametrize(
    ("format_name", "line"),
    [
        pytest.param("envoy", '[2026-10-05T09:00:00.000Z] "- - -" 0 - 62 63 84 - "-" "-" "-" "-" "10.0.0.4:15"', id="envoy, text"),
        pytest.param(
            "istio",
            '[2026-10-05T09:00:00.000Z] "- - -" 0 - - - "-" 62 63 84 - "-" "-" "-" "-" "10.0.0.4:15" outbound|15||db 10.0.0.1:1 10.0.0.2:2 10.0.0.3:3 - -',
            id="istio, text",
        ),
        *(
            pytest.param(name, f'{{"start_time":"2026-10-05T09:00:00.000Z",{rest},"bytes_received":62,"bytes_sent":63}}', id=f"{name}, {rest}")
            for name in ("envoy", "istio")
            for rest in ('"method":null,"response_code":0', '"method":"-","response_code":"0"', '"response_code":0', '"protocol":null')
        ),
    ],
)  # fmt: skip
def test_a_connection_is_not_a_request(format_name: str, line: str) -> None:
    """A TCP proxy logs connections, with bytes but without a request."""
    assert read(format_name, line)["refused"] == "NOT_A_REQUEST"


@pytest.mark.parametrize("format_name", ["envoy", "istio"])
def test_a_request_that_could_not_be_read_is_one(format_name: str) -> None:
    """Envoy answers 400 before it knows a method; a client that leaves before the answer gets status 0."""
    unread = LINES[format_name].format(request="- - HTTP/1.1", agent="-", **TIMES).replace(" 200 ", " 400 ")
    gone = LINES[format_name].format(request="GET /v1/orders HTTP/1.1", agent="-", **TIMES).replace(" 200 ", " 0 ")
    json_gone = (
        '{"start_time":"2026-10-05T09:00:00.000Z","method":"GET","path":"/v1/orders","response_code":0,"bytes_sent":0}'
    )
    assert [counted(read(format_name, text)) for text in (unread, gone, json_gone)] == [
        (400, 1841, None),
        (0, 1841, None),
        (0, 0, None),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "", "<134>Oct  5 09:00:00 haproxy[1]: ", "<134>Oct  5 09:00:00 gw haproxy[1]: ", "Oct 15 09:00:00 gw haproxy: ", "<6>", "<134>",
        "<6>2026-10-05T09:00:00.396+00:00 ", "2026-10-05T09:00:00.396+00:00 ", "<134>1 2026-10-05T09:00:00.396+00:00 gw haproxy 1 - - ",
        '<134>1 2026-10-05T09:00:00+00:00 gw haproxy 1 - [a@1 b="c"] ', "2026-10-05T09:00:00.396+00:00 gw edge-7[1]: ", "haproxy[1]: ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::7"])
def test_a_haproxy_line_is_the_same_behind_each_header(header: str, client: str) -> None:
    """`log … format` of HAProxy: local, rfc3164, rfc5424, priority, short, timed, iso, raw."""
    line = LINES["haproxy"].format(request="GET /v1/orders HTTP/1.1", **TIMES).replace("203.0.113.9", client)
    entry = read("haproxy", header + line)
    assert (*counted(entry), entry["path"], entry["client_ip"], entry["route"]) == (
        200,
        1841,
        None,
        "/v1/orders",
        client,
        "in",
    )


@pytest.mark.parametrize("header", ["Oct  5 09:00:00 haproxy[1]: ", "<5>", "2026-10-05T09:00:00.396+00:00 "])
@pytest.mark.parametrize(
    "message",
    [
        "Proxy in started.",
        "Server shop/srv1 is DOWN, reason: Layer4 timeout.",
        "203.0.113.9:1 [05/Oct/2026:09:00:00.000] in/1: SSL handshake failure",
    ],
)
def test_a_message_of_haproxy_is_not_a_request_behind_each_header(header: str, message: str) -> None:
    assert read("haproxy", header + message)["refused"] == "NOT_A_REQUEST"


API_GATEWAY = {
    "rest, CLF": '203.0.113.9 - - [05/Oct/2026:09:00:00 +0000]"GET /v1/{id} HTTP/1.1" 200 1841 r1 x1',
    "http, CLF": '203.0.113.9 - - [05/Oct/2026:09:00:00 +0000] "GET GET /v1/{id} HTTP/1.1" 200 1841 r1 x1',
    "http, CLF, $default": '203.0.113.9 - - [05/Oct/2026:09:00:00 +0000] "GET $default HTTP/1.1" 200 1841 r1 -',
    "websocket, CLF": '203.0.113.9 - - [05/Oct/2026:09:00:00 +0000] "MESSAGE send c1=" 200  r1',
    "rest, CSV": "203.0.113.9,-,-,05/Oct/2026:09:00:00 +0000,GET,/v1/{id},HTTP/1.1,200,1841,r1,x1",
    "http, CSV": "203.0.113.9,05/Oct/2026:09:00:00 +0000,GET,GET /v1/{id},HTTP/1.1,200,1841,r1,x1",
    "websocket, CSV": "203.0.113.9,-,-,05/Oct/2026:09:00:00 +0000,CONNECT,$connect,c1=,200,r1",
    "websocket, CSV, status first": "203.0.113.9,-,-,05/Oct/2026:09:00:00 +0000,CONNECT,$connect,200,c1=,r1",
}


@pytest.mark.parametrize("kind", sorted(API_GATEWAY))
def test_each_text_form_that_aws_documents_is_read(kind: str) -> None:
    """A message of a WebSocket API has no method and no size."""
    entry = read("aws_apigw", API_GATEWAY[kind])
    size = None if kind.startswith("websocket") else 1841
    method = None if kind.startswith("websocket") else "GET"
    assert (*counted(entry), entry["method"], entry["client_ip"]) == (200, size, None, method, "203.0.113.9")
    assert entry["route"] in {"/v1/{id}", "GET /v1/{id}", "$default", "send", "$connect"}
    assert entry["event_id"] == ("x1" if " x1" in API_GATEWAY[kind] or ",x1" in API_GATEWAY[kind] else "r1")


def test_a_request_that_kong_logs_twice_has_one_id() -> None:
    """Its JSON record and its access line: the second is a conflict, whichever it is, and is refused with that reason."""
    record = '{"request":{"id":"r1","method":"GET","uri":"/"},"response":{"status":200},"started_at":1790848800250}'
    access = LINES["kong"].format(request="GET / HTTP/1.1", agent="x", **TIMES)
    ids = [read("kong", text)["event_id"] for text in (record, f'{access} kong_request_id: "r1"', access)]
    assert ids == ["r1", "r1", None]
    forged = LINES["kong"].format(request="GET / HTTP/1.1", agent=r"\x22 kong_request_id: \x22r1\x22", **TIMES)
    assert read("kong", f'{forged} kong_request_id: "r2"')["event_id"] == "r2"
    assert read("kong", forged)["event_id"] is None
