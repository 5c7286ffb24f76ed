"""`tollbook serve` when others fail: senders that are slow or hang up, a broker that is away or says no, a kill."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import httpx
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from deltalake import DeltaTable

from schemas.kafka import topics
from tests.conftest import own_prefix
from tests.kafka.broker import Broker
from tests.kafka.processes import Process
from tests.long import long_only
from tests.tollbook.serving import (
    BATCH,
    EDGE,
    LINES,
    SINGLE,
    HttpServer,
    event,
    events,
    lines,
    running_server,
    write_installation,
)

HEAD = b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Type: %b\r\n" % (EDGE.text.encode(), LINES.encode())  # fmt: skip


@pytest.fixture(scope="module")
def hasty(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server that waits a second for a head, and a second for a body."""
    with (
        own_prefix(kafka) as prefix,
        running_server(kafka, prefix, tmp_path_factory.mktemp("serve"), "--request-s", 1) as opened,
    ):
        yield opened


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    "begun", [b"", b"POST /api/v1/events HTT", HEAD, HEAD + b"Content-Length: 100000\r\n\r\n"],
    ids=["connection", "request line", "headers", "body"],
)  # fmt: skip
def test_a_sender_that_dribbles_is_put_out_in_time(hasty: HttpServer, begun: bytes) -> None:
    """Row 79: a byte now and then keeps nothing open; who sends at their pace does not notice."""
    began = time.monotonic()
    waits = threading.Event()
    with socket.create_connection(("127.0.0.1", hasty.port), 20) as slow:
        slow.sendall(begun)
        slow.settimeout(0.1)
        answer, open_ = b"", True
        while open_ and time.monotonic() - began < 15:
            try:
                piece = slow.recv(4096)
                answer, open_ = answer + piece, bool(piece)
            except TimeoutError:
                waits.wait(0.05)
                try:
                    slow.sendall(b"x" if begun else b"")
                except OSError:
                    open_ = False
            except OSError:
                open_ = False
            if len(answer) == 0 and open_:
                assert hasty.post(json.dumps(event("meanwhile")).encode()).status_code == 204
    took = time.monotonic() - began
    assert not open_
    assert 0.9 < took < 8
    if begun.endswith(b"\r\n\r\n"):
        assert answer.startswith(b"HTTP/1.1 408 "), answer


def test_no_request_ends_the_server(hasty: HttpServer) -> None:
    """What ended it, sent to the process itself, once its templates are warm; and what crowded others out.
    tests/tollbook/test_any_request.py has the rest.
    """
    for begin in range(0, 30_000, 10_000):
        assert hasty.batch([event(f"warm-{n}") for n in range(begin, begin + 10_000)]).status_code == 204
    for _ in range(3):
        assert hasty.post(b"[]", BATCH).status_code == 204
        assert hasty.post(b"\n \n", LINES, headers={"Idempotency-Key": "k"}).status_code in {204, 400}
        note = {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "s", "ce-type": "t", "ce-note": "%FF"}
        assert hasty.post(b"{}", "application/json", headers=note).status_code == 400
    with ExitStack() as held:
        for _ in range(400):
            held.enter_context(socket.create_connection(("127.0.0.1", hasty.port), 20)).sendall(
                b"POST /api/v1/events HTT"
            )
        with socket.create_connection(("127.0.0.1", hasty.port), 20, ("127.0.0.2", 0)) as other:
            body = json.dumps(event("other")).encode()
            head = HEAD.replace(LINES.encode(), SINGLE.encode())
            other.sendall(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert b"".join(iter(lambda: other.recv(65_536), b"")).startswith(b"HTTP/1.1 204 ")
    assert hasty.process.get("/healthz")[0] == 200


def test_who_hangs_up_and_sends_again_is_counted_once(kafka: str, kafka_prefix: str, tmp_path: Path) -> None:
    """Rows 77 and 78, S6: unknown, sent again, ten times at once, and by another producer: each event once for each
    source.
    """
    with running_server(kafka, kafka_prefix, tmp_path) as opened:
        where = ["--bootstrap-servers", kafka, "--prefix", kafka_prefix, "--catalog", tmp_path / "catalog"]
        lake = tmp_path / "lake"
        with Process(["ingest", *where]), Process(["land", *where, "--lake", lake, "--commit-s", 0.2]) as land:
            sent = events("once", 300)
            body = json.dumps(sent).encode()
            head = HEAD.replace(LINES.encode(), BATCH.encode()) + b"Content-Length: %d\r\n\r\n" % len(body)
            with socket.create_connection(("127.0.0.1", opened.port), 10) as gone:
                gone.sendall(head + body)  # and nobody waits for the answer
            headers = {"Authorization": f"Bearer {EDGE.text}", "Content-Type": BATCH}
            ends: list[int] = []

            def again() -> None:
                ends.append(httpx.post(f"{opened.url}/api/v1/events", content=body, headers=headers, timeout=60, trust_env=False).status_code)  # fmt: skip

            threads = [threading.Thread(target=again) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert ends == [204] * 10
            entries = 300 * len(opened.records())
            assert entries in {300 * 10, 300 * 11}

            def landed() -> float:
                return sum(land.metric(f"tollbook_land_{name}_total") for name in ("events", "duplicates", "conflicts"))

            land.until_logged("assigned")
            land.until(lambda _: landed() >= entries)
            assert land.metric("tollbook_land_events_total") == 300
            assert land.metric("tollbook_land_conflicts_total") == 0
        files = [uri.removeprefix("file://") for uri in DeltaTable(lake / "events").file_uris()]
        ids = duckdb.connect().read_parquet(files).project("event_id").order("event_id").fetchall()
        assert [i for (i,) in ids] == sorted(f"api {e['id']}" for e in sent)


@pytest.fixture
def own(own_broker: Broker, tmp_path: Path) -> Iterator[tuple[Broker, HttpServer]]:
    """A server before a broker that is the test's own."""
    with running_server(own_broker.bootstrap, "", tmp_path) as opened:
        yield own_broker, opened


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", pytest.param("pause", marks=long_only)])
def test_without_a_broker_nothing_is_accepted(own: tuple[Broker, HttpServer], fault: str) -> None:
    """F7, F8: 503 in bounded time and never 2xx, a server that says it is not well; then, without a hand, everything
    again.

    A request that was given up may have arrived all the same: it is in the topic once or not at all, and is sent again.
    """
    broker, opened = own
    assert opened.batch(events("before", 10)).status_code == 204
    getattr(broker, fault)()
    answers = []
    for i in range(2):
        began = time.monotonic()
        answers.append(opened.batch(events(f"during{i}", 10)))
        assert time.monotonic() - began < 20
    assert [a.status_code for a in answers] == [503, 503]
    assert answers[0].json()["code"] == "NOT_DELIVERED"
    assert int(answers[0].headers["retry-after"]) >= 1
    assert opened.process.get("/healthz")[0] == 503
    broker.start() if fault == "kill" else broker.resume()
    deadline = time.monotonic() + 60
    while (answer := opened.batch(events("after", 10))).status_code == 503:
        assert time.monotonic() < deadline
    assert answer.status_code == 204
    assert opened.process.get("/healthz")[0] == 200
    ids = opened.ids()
    for i in range(2):
        assert opened.batch(events(f"during{i}", 10)).status_code == 204
    assert {f"{name}-{i}" for name in ("before", "after") for i in range(10)} <= set(ids)
    assert {f"during{k}-{i}" for k in range(2) for i in range(10)} <= set(opened.ids())


def test_a_record_that_the_broker_refuses_is_the_senders_and_ends_nothing(
    kafka: str, kafka_prefix: str, tmp_path: Path
) -> None:
    """Row 15: the broker's limit was lowered under us.

    413 for what is too large, 204 for what is not, by the same producer.
    """
    with running_server(kafka, kafka_prefix, tmp_path) as opened:
        admin = AdminClient({"bootstrap.servers": kafka})
        lower = ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, kafka_prefix + topics.GATEWAY_ACCESS, incremental_configs=[lower])
        for done in admin.incremental_alter_configs([resource]).values():
            done.result()
        noise = [event(f"big-{i}", data={"path": "/" + hashlib.sha512(b"%d" % i).hexdigest()}) for i in range(400)]
        answer = opened.batch(noise)
        assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
        assert opened.post(json.dumps(event("small")).encode(), SINGLE).status_code == 204
        assert opened.ids() == ["small"]


def test_a_server_that_is_killed_has_kept_its_word(kafka: str, kafka_prefix: str, tmp_path: Path) -> None:
    """F11: whatever was answered with 204 is in Kafka; the sender sends the others again, to whoever comes back."""
    acked: list[int] = []
    with running_server(kafka, kafka_prefix, tmp_path) as opened:
        headers = {"Authorization": f"Bearer {EDGE.text}", "Content-Type": LINES}

        def send(i: int) -> None:
            try:
                body = lines(events(f"k{i}", 200))
                if httpx.post(f"{opened.url}/api/v1/events", content=body, headers=headers, timeout=60, trust_env=False).status_code == 204:  # fmt: skip
                    acked.append(i)
                    if len(acked) == 10:
                        opened.process.kill()
            except httpx.TransportError:
                pass  # unknown

        threads = [threading.Thread(target=send, args=(i,)) for i in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = set(opened.ids())
        assert len(acked) >= 10
        assert all(f"k{i}-{j}" in ids for i in acked for j in range(200))


@pytest.mark.slow
def test_a_server_that_cannot_work_says_so_and_does_not_listen(kafka: str, kafka_prefix: str, tmp_path: Path) -> None:
    """A producers file with a mistake, a port that is taken, topics that are not there: exit 2 and a message, no
    traceback.
    """
    write_installation(tmp_path)
    words = [
        "--bootstrap-servers",
        kafka,
        "--prefix",
        kafka_prefix,
        "--catalog",
        tmp_path / "catalog",
        "--listen",
        "127.0.0.1:0",
    ]
    with Process(["serve", *words, "--producers", tmp_path / "producers.yaml"]) as process:
        assert process.ended() == 2
        assert "topics create" in process.tail()
    (tmp_path / "producers.yaml").write_text("producers: []\n")
    with Process(["serve", *words, "--producers", tmp_path / "producers.yaml"]) as process:
        assert process.ended() == 2
        assert "producers.yaml: producers: Tuple should have at least 1 item" in process.tail()
        assert "Traceback" not in process.tail()
