"""Workers as processes: they end when asked, whatever the broker does, and when they hang; and what they had begun
is not lost.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.kafka.topics import GATEWAY_ACCESS
from tests.ingest.fixtures import kong, line
from tests.kafka.broker import Broker
from tests.kafka.installation import Installation
from tests.kafka.processes import STOP_LIMIT_S, LogLine, Process
from tests.tollbook.fixtures import table_rows, write_catalog

FAULTY = ("-m", "tests.e2e.mutants")
HEADERS = [("format", b"kong"), ("source", b"edge")]
ANY_TIME = "sources: [{id: edge, max_age_days: 36500, max_future_minutes: 52560000}]\n"


@pytest.fixture
def site(kafka: str, kafka_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """Topics of two partitions, and processes that end with the test."""
    made = Installation(kafka, kafka_prefix, tmp_path, write_catalog(tmp_path / "catalog", sources=ANY_TIME))
    yield made
    made.close()


def counted(worker: Process, events: int) -> None:
    """Wait until a worker has counted so many events."""
    total = 0

    def enough(line: LogLine) -> bool:
        nonlocal total
        total += line.get("counted", 0)
        return total >= events

    worker.until(enough)


def test_what_was_sent_to_the_gateways_topic_is_counted_once_though_both_workers_end_and_begin_again(
    site: Installation,
) -> None:
    """Asked to end, a worker delivers and commits what it has read: its successor reads nothing of that again."""
    records = [b"".join(line(kong(f"{n}-{m}")) for m in range(20)) for n in range(60)]
    with site.ingest() as ingest, site.land() as land:
        for number, record in enumerate(records[:30]):
            site.send(GATEWAY_ACCESS, (record, HEADERS), partition=number % 2)
        counted(land, 200)
        assert (ingest.stop(), land.stop()) == (0, 0)
    with site.ingest() as ingest, site.land() as land:
        for number, record in enumerate(records[30:]):
            site.send(GATEWAY_ACCESS, (record, HEADERS), partition=number % 2)
        counted(land, 200)
        assert ingest.stop() == 0
        assert ingest.log_lines[-1]["message"] == "stopped on request"
        land.until(lambda _: table_rows(site.lake, "events", "SELECT count(*) AS n FROM t")[0]["n"] == 1200)
        assert land.stop() == 0
    read = table_rows(site.lake, "reads", "SELECT sum(counted)::INT AS counted, sum(redelivered)::INT AS again FROM t")
    assert read == [{"counted": 1200, "again": 0}]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ingest", "land"])
def test_a_worker_asked_to_end_does_so_though_its_broker_does_not_answer(
    own_broker: Broker, tmp_path: Path, command: str
) -> None:
    """Fifteen seconds are promised; then supervisors kill.

    What it waits for, an answer to its last commit, may never come.
    """
    site = Installation(own_broker.bootstrap, "", tmp_path, write_catalog(tmp_path / "catalog"))
    site.send_events(3)
    site.send(GATEWAY_ACCESS, (line(kong("one")), HEADERS))
    with getattr(site, command)() as worker:
        worker.until_logged("landed" if command == "land" else "ingested")
        own_broker.pause()
        worker.signal(signal.SIGTERM)
        code = worker.ended(STOP_LIMIT_S)
        # 0: the last commit was answered just before the broker fell silent. "restarting": another call was under way
        # by then. The last line may be the Kafka library's, which goes on saying what it misses.
        expected = {75: ("nothing is lost", "nothing was committed", "restarting"), 0: ("stopped on request",)}[code]
        messages = [line["message"] for line in worker.log_lines]
        assert any(word in message for message in messages for word in expected), messages


@pytest.mark.slow
def test_a_hang_is_ended_by_the_watchdog_and_costs_nothing(site: Installation) -> None:
    """A worker that waits for ever inside a library looks alive to its supervisor; the watchdog ends it, and says
    so.
    """
    site.send_events(3)
    with site.land(
        "--instance", "a", "--watchdog-s", "2", code=FAULTY, env={"TOLLBOOK_TEST_FAULT": "hang@1"}
    ) as worker:
        assert worker.ended() == 70
        assert worker.log_lines[-1]["reason"] == "STALLED"
        assert "no progress for" in worker.log_lines[-1]["message"]
    with site.land("--instance", "a") as worker:
        counted(worker, 30)
        assert worker.stop() == 0
    assert table_rows(site.lake, "events", "SELECT count(DISTINCT event_id) AS ids, count(*) AS n FROM t") == [
        {"ids": 30, "n": 30}
    ]


@pytest.mark.slow
def test_an_unexpected_error_ends_the_process_and_costs_nothing(site: Installation) -> None:
    """After an error nobody knows what of a batch is done: begin again from the lake, never go on."""
    site.send_events(3)
    with site.land("--instance", "a", code=FAULTY, env={"TOLLBOOK_TEST_FAULT": "fail@1"}) as worker:
        assert worker.ended() == 75
        assert worker.log_lines[-1]["message"].startswith("a disk of the tests: Input/output error")
    with site.land("--instance", "a") as worker:
        counted(worker, 30)
        assert worker.stop() == 0
    assert table_rows(site.lake, "events", "SELECT count(DISTINCT event_id) AS ids, count(*) AS n FROM t") == [
        {"ids": 30, "n": 30}
    ]
