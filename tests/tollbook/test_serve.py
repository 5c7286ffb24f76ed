"""`tollbook serve` as senders meet it: a real server on a socket, a real broker behind it."""

import asyncio
import concurrent.futures
import gzip
import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from backports import zstd

from ingest.http import api
from schemas.reasons import Reason
from tests.conftest import own_prefix
from tests.ingest.fixtures import kong, line
from tests.tollbook.serving import (
    BATCH,
    EDGE,
    LINES,
    OTHER,
    OWN,
    PRODUCERS,
    SINGLE,
    SLOW,
    HttpServer,
    event,
    events,
    lines,
    running_server,
)

MIB = 1 << 20


@pytest.fixture(scope="module")
def shared(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """One server for all tests that leave it as it was.

    It believes what we say of addresses, so that each test has its own.
    """
    with own_prefix(kafka) as prefix, running_server(kafka, prefix, tmp_path_factory.mktemp("serve"), "--trusted-proxies", "127.0.0.1") as opened:  # fmt: skip
        yield opened


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


def address(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"203.0.113.{number}"}


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("one", lambda n: json.dumps(event(f"{n}-0")), SINGLE),
        ("pretty", lambda n: json.dumps(event(f"{n}-0"), indent=2), f"{SINGLE}; charset=utf-8"),
        ("many", lambda n: json.dumps(events(n, 3)), BATCH),
        ("json-one", lambda n: json.dumps(event(f"{n}-0")), "application/json"),
        ("json-many", lambda n: json.dumps(events(n, 3), indent=1), "application/json"),
        ("none", lambda _: "[]", BATCH),
        ("lines", lambda n: lines(events(n, 3)).decode(), LINES),
        ("odd-lines", lambda n: "\n\r\n" + lines(events(n, 3)).decode().replace("\n", "\r\n\n").rstrip(), LINES),
        ("mark", lambda n: "\ufeff" + json.dumps(event(f"{n}-0")), SINGLE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_events_of_every_shape_are_in_kafka_when_the_answer_comes(
    shared: HttpServer, name: str, body: Any, kind: str
) -> None:
    """204 is what OpenMeter's clients wait for. Rows 9 and 80: blank lines, CRLF, no last newline, a byte order
    mark.
    """
    text = body(name)
    answer = shared.post(text.encode(), kind)
    assert (answer.status_code, answer.content) == (204, b"")
    found = [i for i in shared.ids() if i.startswith(f"{name}-")]
    assert found == re.findall(rf"{name}-\d", text)


def test_the_source_is_that_of_the_credential(shared: HttpServer) -> None:
    """S5, S7: whatever headers, parameters and events say. Two producers with the same ids are two sources."""
    headers = {"source": "other", "X-Source": "other", "ce-type": "x"}
    for key, source in ((EDGE, "edge"), (OTHER, "other")):
        body = json.dumps(event("squat", source="other")).encode()
        assert shared.post(body, key=key.text, query="?source=other", headers=headers).status_code == 204
        assert [h for h, v in shared.records() if b'"squat"' in v and h["source"] == source] == [{"format": "cloudevents", "source": source}]  # fmt: skip


def test_log_lines_of_other_formats_are_taken_from_who_may_send_them(shared: HttpServer) -> None:
    """`format` names it; a producer sends what its entry in the file allows, and only formats that there are."""
    assert shared.post(line(kong("k")), LINES, query="?format=kong").status_code == 204
    assert ({"format": "kong", "source": "edge"}, line(kong("k"))) in shared.records()
    assert code(shared.post(line(kong("k")), LINES, query="?format=kong", key=OTHER.text)) == (
        403,
        "FORMAT_NOT_ALLOWED",
    )
    assert code(shared.post(b"x\n", LINES, query="?format=../x")) == (400, "UNKNOWN_FORMAT")
    assert code(shared.post(b"x", "application/xml")) == (415, "UNSUPPORTED_TYPE")


def test_lines_without_ids_need_a_named_request(shared: HttpServer) -> None:
    """Row 29: the same name and the same bytes are the same lines; without a name a resend would be counted twice."""
    text = line(kong(None))
    assert code(shared.post(text, LINES, query="?format=kong")) == (400, "NO_ID")
    for _ in range(2):
        assert shared.post(text, LINES, query="?format=kong", headers={"Idempotency-Key": "night-1"}).status_code == 204
    named = [headers for headers, value in shared.records() if "request" in headers and value == text]
    assert len(named) == 2
    assert named[0] == named[1]
    assert named[0]["position"] == "0"
    assert "night-1" not in str(named)
    assert code(shared.post(text, LINES, query="?format=kong", headers={"Idempotency-Key": "a b"})) == (400, "BAD_KEY")


def test_some_bad_events_are_reported_and_the_others_are_taken(shared: HttpServer) -> None:
    """Row 75: 9,999 of 10,000. The answer names place, code, field and rule of each that was not."""
    sent = events("most", 10_000)
    sent[7777] = event("most-7777", subject="nobody")
    answer = shared.batch(sent)
    assert answer.status_code == 207
    result = answer.json()
    assert (result["accepted"], result["refused"]) == (9_999, 1)
    assert {k: v for k, v in result["rows"][0].items() if k != "message"} == {"index": 7777, "code": "UNKNOWN_CREDENTIAL", "field": "credential"}  # fmt: skip
    assert len({i for i in shared.ids() if i.startswith("most-")} & {e["id"] for e in sent}) == 9_999


def test_bad_events_alone_are_refused_with_their_reason(shared: HttpServer) -> None:
    """One event's reason is the answer's; with several reasons each event has its own."""
    assert code(shared.post(json.dumps(event("bad-time", time="noon")).encode())) == (400, "BAD_TIME")
    answer = shared.batch([event("bad-1", time=None), event("bad-2", subject=None)])
    assert code(answer) == (400, "REFUSED")
    assert [(r["index"], r["code"]) for r in answer.json()["rows"]] == [(0, "NO_TIME"), (1, "NO_PARTNER")]
    assert not [i for i in shared.ids() if i.startswith("bad-")]


@pytest.mark.sampled(keep=6)
@pytest.mark.parametrize(
    ("body", "kind", "headers", "status", "reason"),
    [
        pytest.param(b"", SINGLE, {}, 400, "EMPTY", id="row 1: nothing"),
        pytest.param(b" \n", LINES, {}, 400, "EMPTY", id="blanks"),
        pytest.param(b"hello", BATCH, {}, 400, "NOT_JSON", id="no array"),
        pytest.param(b"[{}", BATCH, {}, 400, "NOT_JSON", id="half an array"),
        pytest.param(b"[{},,{}]", BATCH, {}, 400, "NOT_JSON", id="a hole"),
        pytest.param(b"hello", SINGLE, {}, 400, "NOT_JSON", id="no JSON"),
        pytest.param(b"x", SINGLE, {"Content-Encoding": "gzip"}, 400, "BAD_ENCODING", id="row 72: called gzip"),
        pytest.param(gzip.compress(b"{}")[:-1], SINGLE, {"Content-Encoding": "gzip"}, 400, "BAD_ENCODING", id="gzip cut"),
        pytest.param(gzip.compress(b"{}"), SINGLE, {"Content-Encoding": "zstd"}, 400, "BAD_ENCODING", id="gzip called zstd"),
        pytest.param(gzip.compress(b"{}"), SINGLE, {"Content-Encoding": "br"}, 400, "BAD_ENCODING", id="unknown encoding"),
        pytest.param(gzip.compress(bytes(20 * MIB)), LINES, {"Content-Encoding": "gzip"}, 413, "TOO_LARGE", id="row 73: gzip bomb"),
        pytest.param(gzip.compress(gzip.compress(bytes(9 * MIB))), LINES, {"Content-Encoding": "gzip"}, 400, "BAD_UTF8", id="packed twice is unpacked once"),
        pytest.param(zstd.compress(bytes(100 * MIB)), LINES, {"Content-Encoding": "zstd"}, 413, "TOO_LARGE", id="row 73: zstd bomb"),
        pytest.param(b"x" * (10 * MIB + 1), LINES, {}, 413, "TOO_LARGE", id="too long"),
        pytest.param(b"[" + b"0," * 10_000 + b"0]", BATCH, {}, 413, "BATCH_TOO_LARGE", id="row 76: 10,001"),
        pytest.param(b"[" * 100_000, SINGLE, {}, 400, "TOO_DEEP", id="deep"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, BATCH, {}, 400, None, id="deep and whole"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, SINGLE, {}, 400, None, id="deep object"),
        pytest.param(b"{}", "application/json", {"ce-specversion": "1.0"}, 400, "NO_ID", id="binary without id"),
        pytest.param(b"{", "application/json", {"ce-specversion": "1.0", "ce-id": "x"}, 400, "NOT_JSON", id="binary without JSON"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_taken_is_told_why(
    shared: HttpServer, body: bytes, kind: str, headers: dict[str, str], status: int, reason: str | None
) -> None:
    """Rows 1, 72, 73, 76. And the server is as well as before."""
    answer = shared.post(body, kind, headers=headers)
    assert code(answer) == (status, reason or answer.json()["code"]), answer.text[:500]
    assert shared.post(json.dumps(event("after")).encode()).status_code == 204


def test_a_packed_body_is_taken(shared: HttpServer) -> None:
    """Row 72."""
    for name, pack in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        body = pack(json.dumps(events(name, 5)).encode())
        assert shared.post(body, BATCH, headers={"Content-Encoding": name}).status_code == 204
        assert len([i for i in shared.ids() if i.startswith(f"{name}-")]) == 5


def memory_kib(server: HttpServer, name: str) -> int:
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1])  # type: ignore[index]


@pytest.mark.slow
def test_a_bomb_costs_little_memory(kafka: str, kafka_prefix: str, tmp_path: Path) -> None:
    """Row 73: 1 GiB that came as 33 KB; at most 20 MiB above what the server needs anyway.

    A server of its own: one that has read 20,000 lines begins to load the JSON scan, which takes memory, whatever is
    sent meanwhile.
    """
    bomb = zstd.compress(bytes(1 << 30))
    headers = {"Content-Encoding": "zstd"}
    with running_server(kafka, kafka_prefix, tmp_path) as own:
        assert own.post(lines(events("warm", 10_000)), LINES).status_code == 204
        assert own.post(bomb, LINES, headers=headers).status_code == 413
        Path(f"/proc/{own.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = memory_kib(own, "VmRSS")
        for _ in range(5):
            assert own.post(bomb, LINES, headers=headers).status_code == 413
        assert memory_kib(own, "VmHWM") - before < 20 * 1024


UNPROVEN = [
    None, "", "Bearer", "Basic dXNlcjpwYXNz", "Bearer hello", "Bearer tb_", f"Bearer {EDGE.text[:-1]}", f"Bearer {EDGE.text}0",
    f"Bearer tb_{EDGE.kept.prefix}_{OTHER.text.split('_')[2]}", f"Bearer tb_{EDGE.kept.prefix}_{EDGE.kept.sha256}", f"Token {EDGE.text}",
    "Bearer eyJhbGciOiJub25lIn0.e30.", f"Bearer {EDGE.text}, Bearer {EDGE.text}", "Bearer " + "x" * 9000, "Bearer a.b.c.d.e", f"bearer  {EDGE.text}",
]  # fmt: skip


def test_no_route_is_open_without_a_credential(shared: HttpServer) -> None:
    """S1, S51: the routes come from the application itself. The same answer whatever was wrong."""
    routes = {(method, route.path) for route in api.app().routes for method in route.methods}  # type: ignore[attr-defined]
    public = {("GET", api.OPENAPI), ("HEAD", api.OPENAPI)}
    assert routes == public | {("POST", api.EVENTS)}
    answers = set()
    for method, path in routes - public:
        for i, credential in enumerate(UNPROVEN):
            headers = {"Content-Type": SINGLE, **address(i)} | (
                {} if credential is None else {"Authorization": credential}
            )
            answer = shared.client.request(method, path, content=b"{}", headers=headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            answers.add((answer.status_code, answer.content))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401


def test_two_credentials_are_none(shared: HttpServer) -> None:
    """Which of them would a proxy have checked?"""
    headers = [
        ("Authorization", f"Bearer {EDGE.text}"),
        ("Authorization", "Bearer x"),
        ("Content-Type", SINGLE),
        *address(99).items(),
    ]
    assert shared.client.post("/api/v1/events", content=b"{}", headers=headers).status_code == 401


def test_guessing_is_slowed_and_the_right_key_is_let_in_all_the_same(shared: HttpServer) -> None:
    """S17: 20 in a minute from one address. Its neighbours, and who has a key, do not notice."""
    answers = [shared.post(b"{}", key=f"tb_{i:012x}_{i:064x}", headers=address(200)) for i in range(25)]
    assert [a.status_code for a in answers] == [401] * 20 + [429] * 5
    assert code(answers[-1])[1] == "RATE_LIMITED"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
    assert shared.post(json.dumps(event("in")).encode(), headers=address(200)).status_code == 204
    assert shared.post(b"{}", key="x", headers=address(201)).status_code == 401


def test_events_of_another_partner_are_refused_and_told_to_who_watches(shared: HttpServer) -> None:
    """Row 50, S5: the producer is acme's own. Nothing of bolt's reaches Kafka, and nothing of bolt is in the answer."""
    answer = shared.batch([event("forged", subject="c-bolt")], key=OWN.text)
    assert code(answer) == (403, "PARTNER_MISMATCH")
    assert "bolt" not in answer.text
    line = shared.process.until(lambda line: line.get("code") == "PARTNER_MISMATCH")
    assert (line["security"], line["producer"]) == (True, "acme-agent")
    assert line["request_id"] == answer.headers["x-request-id"]
    mixed = shared.batch([event("mine"), event("forged", subject="c-bolt")], key=OWN.text)
    assert (mixed.status_code, [(r["index"], r["code"]) for r in mixed.json()["rows"]]) == (
        207,
        [(1, "PARTNER_MISMATCH")],
    )
    assert "forged" not in shared.ids()


def test_a_producer_that_sends_too_much_is_slowed_alone(shared: HttpServer) -> None:
    """S22: 429 with the time to wait for the one; the other's are all taken meanwhile."""
    much = 600  # seconds until it may send again: more than the test takes
    answers = [shared.batch(events(f"slow{i}", 5 if i else much), key=SLOW.text) for i in range(20)]
    assert [a.status_code for a in answers] == [204] + [429] * 19
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers[1:])
    assert all(shared.batch(events(f"fast{i}", 5)).status_code == 204 for i in range(5))
    assert len([i for i in shared.ids() if i.startswith("slow")]) == much


SECRETS = ["canary-aaa-key", "canary-bbb-cookie", "canary-ccc-query", "canary-ddd-body", "canary-eee-id"]


def test_secrets_are_in_no_log_and_no_answer(shared: HttpServer) -> None:
    """S18, S44: planted everywhere a sender can write, in requests that are taken and in such that are not."""
    seen = []
    for kind, body in ((SINGLE, event("s", data={"password": SECRETS[3]}, time=None)), (SINGLE, event(SECRETS[4] * 20)), (LINES, {"x": SECRETS[3]})):  # fmt: skip
        for key in (EDGE.text, f"tb_{SECRETS[0]}"):
            headers = {"Cookie": SECRETS[1], "Referer": SECRETS[2], "User-Agent": SECRETS[1], **address(210)}
            seen.append(
                shared.post(json.dumps(body).encode(), kind, key=key, query=f"?apikey={SECRETS[2]}", headers=headers)
            )
    seen.append(shared.client.get(f"/{SECRETS[2]}"))
    seen.append(shared.post(b"x", LINES, query=f"?format={SECRETS[2]}"))
    shared.process.until(
        lambda line: line.get("request_id") == seen[-1].headers["x-request-id"] and line["message"] == "request"
    )
    log = json.dumps(list(shared.process.log_lines))
    assert EDGE.text.split("_")[2] not in log
    for secret in SECRETS:
        assert secret not in log
    for answer in seen:
        assert not [s for s in SECRETS[:4] if s in answer.text]


def test_a_log_line_is_a_line_and_names_the_request(shared: HttpServer) -> None:
    """S19, S20: whatever is in a request, one JSON object for each, found by the id in the answer; an address is a
    network.
    """
    wild = "a\u2028\x1b[31m%s{}\"'\\"
    answer = shared.post(json.dumps(event("log", time=wild * 500)).encode(), key="nobody", headers={**address(211), "User-Agent": "x\x1b[31m%s"})  # fmt: skip
    refused = shared.process.until(lambda line: line.get("request_id") == answer.headers["x-request-id"])
    assert refused["network"] == "203.0.113.0/24"
    assert all("time" in line and "level" in line for line in shared.process.log_lines), shared.process.tail()
    assert "203.0.113.211" not in json.dumps(list(shared.process.log_lines))
    ids = [line["request_id"] for line in shared.process.log_lines if line["message"] == "request"]
    assert len(ids) == len(set(ids))


LEAKS = re.compile(
    r"Traceback|File \"|/tmp|site-packages|duckdb|pyarrow|SELECT|0x[0-9a-f]{6}|bolt|c-bolt|\.py", re.IGNORECASE
)


def test_errors_tell_nothing_of_the_inside(shared: HttpServer) -> None:
    """S44: bodies of every kind of wrong, and none of them leads to a 500."""
    texts = ["c-bolt' OR 1=1 --", "x" * 300, "a\u0000b", "\ud800"]
    bodies = [b"", b"\x00", b"{" * 999, b"[" * 999, b"[1,", b'"x', b'{"id": 1e999}', b"\xff" * 99, b'[{"a":1}' * 50]
    bodies += [json.dumps(event(text, subject=text)).encode() for text in texts]
    for body in bodies:
        for kind in (SINGLE, BATCH, LINES, "application/json", "text/html"):
            answer = shared.post(body, kind)
            assert 400 <= answer.status_code < 500, (body, kind, answer.text)
            assert not LEAKS.search(answer.text), answer.text


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400, id="a length that is none"),
        pytest.param(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, id="two lengths"),
        pytest.param(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, id="a chunk that is none"),
        pytest.param(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(3500)), 400, id="too long a head"),
        pytest.param(b"hello\r\n\r\n", 400, id="no HTTP"),
    ],
)  # fmt: skip
def test_a_head_that_is_none_is_refused(shared: HttpServer, head: bytes, status: int) -> None:
    """Row 74, row 71: the parser's own limits."""
    with socket.create_connection(("127.0.0.1", shared.port), 10) as connection:
        connection.sendall(head)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer


def test_a_thousand_headers_do_no_harm(shared: HttpServer) -> None:
    """Row 71: odd ones among them. None of them goes on to Kafka."""
    headers = {f"x-{i}": "y" for i in range(1000)} | {"Faust-Ag-ReplyTo": "usage.dead", "format": "nginx"}
    assert shared.post(json.dumps(event("thousand")).encode(), headers=headers).status_code == 204
    assert [headers for headers, value in shared.records() if b"thousand" in value] == [
        {"format": "cloudevents", "source": "edge"}
    ]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_that_was_cut_is_not_half_counted(shared: HttpServer, *, chunked: bool) -> None:
    """Row 74: the half that came may be whole lines; they are not taken, and the sender, if it still listens, is
    told.
    """
    text = lines(events(f"cut{int(chunked)}", 3))
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (len(text) * 2)
    body = b"%x\r\n%b\r\n" % (len(text), text) if chunked else text
    headers = [
        b"POST /api/v1/events HTTP/1.1",
        b"Host: x",
        b"Authorization: Bearer " + EDGE.text.encode(),
        b"Content-Type: " + LINES.encode(),
    ]
    head = b"\r\n".join([*headers, framing, b"", b""])
    with socket.create_connection(("127.0.0.1", shared.port), 10) as connection:
        connection.sendall(head + body)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert not [i for i in shared.ids() if i.startswith(f"cut{int(chunked)}-")]


def test_small_requests_at_once_are_all_answered(shared: HttpServer) -> None:
    """They are decoded together; every sender gets its own answer."""

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=shared.url, timeout=60, trust_env=False) as client:
            headers = {"Content-Type": SINGLE, "Authorization": f"Bearer {EDGE.text}"}
            sent = [event(f"at-once-{i}", **({"time": None} if i % 7 == 0 else {})) for i in range(150)]
            return await asyncio.gather(*(client.post("/api/v1/events", content=json.dumps(e), headers=headers) for e in sent))  # fmt: skip

    answers = asyncio.run(send())
    assert [a.status_code for a in answers] == [400 if i % 7 == 0 else 204 for i in range(150)]
    assert sorted(i for i in shared.ids() if i.startswith("at-once-")) == sorted(f"at-once-{i}" for i in range(150) if i % 7)  # fmt: skip


def test_metrics_tell_what_came(shared: HttpServer) -> None:
    """By producer what was taken, by reason what was not, by status what was answered."""
    metric = shared.process.metric

    def known() -> tuple[float, ...]:
        return (
            metric("tollbook_http_accepted_total", producer="second"),
            metric("tollbook_http_refused_total", reason="BAD_TIME"),
            metric("tollbook_http_requests_total", status="207"),
        )

    before = known()
    assert shared.batch([*events("metric", 3), event("x", time="never")], key=OTHER.text).status_code == 207
    assert [b - a for a, b in zip(before, known(), strict=True)] == [3, 1, 1]
    assert metric("tollbook_http_held_bytes") == 0


def test_a_revoked_key_ends_and_a_broken_file_changes_nothing(kafka: str, kafka_prefix: str, tmp_path: Path) -> None:
    """S48: at once on SIGHUP, in seconds without.

    A slip of the pen in the file must not lock everybody out, nor go unseen.
    """
    good = json.dumps(event("a")).encode()
    with running_server(kafka, kafka_prefix, tmp_path) as opened:
        file, process = tmp_path / "producers.yaml", opened.process

        def changed(text: str, message: str) -> None:
            seen = sum(message in line["message"] for line in process.log_lines)
            file.write_text(text)
            process.signal(signal.SIGHUP)
            process.until(lambda _: sum(message in line["message"] for line in process.log_lines) > seen)

        assert opened.post(good).status_code == 204
        changed(PRODUCERS.replace(EDGE.kept.prefix, "0" * 12), "producers reloaded")
        assert opened.post(good).status_code == 401
        assert opened.post(good, key=OTHER.text).status_code == 204
        changed("producers: [", "cannot be used")
        assert opened.post(good, key=OTHER.text).status_code == 204
        status, body = process.get("/healthz")
        assert (status, "cannot be used" in body) == (503, True)
        file.write_text(PRODUCERS)  # seen without a signal, too
        process.until(lambda _: process.get("/healthz")[0] == 200)
        assert opened.post(good).status_code == 204
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answers = [pool.submit(opened.batch, events(f"last{i}", 500)) for i in range(8)]
            done = concurrent.futures.wait(answers, return_when=concurrent.futures.FIRST_COMPLETED).done
            assert done
            assert process.stop() == 0, process.tail()
            ends = [a.exception() or a.result().status_code for a in answers]
        # Those it had begun are answered; the others were not let in. Nothing is half done.
        taken = {i for i, end in enumerate(ends) if end == 204}
        assert {int(i[4 : i.index("-")]) for i in opened.ids() if i.startswith("last")} == taken
        assert all(end == 204 or isinstance(end, httpx.TransportError) for end in ends), ends
        assert not [line for line in process.log_lines if "time" not in line], process.tail()


def test_every_reason_has_a_place_in_an_answer() -> None:
    """A row's code is one of the closed list; nothing is refused without saying why."""
    assert {"NO_ID", "PARTNER_MISMATCH", "BAD_UTF8"} <= set(Reason)
