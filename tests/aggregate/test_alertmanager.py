"""Alerts in Debian's Alertmanager itself: fired, told again, over, and withdrawn, as its own API shows them."""

import contextlib
import logging
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from aggregate.alerts import ledger
from aggregate.sinks.alertmanager import AlertmanagerSink
from aggregate.sinks.file import sinks
from aggregate.sinks.notices import Severity
from aggregate.sinks.outbox import Outbox
from aggregate.sinks.sink import Answer
from lake.lake import Lake
from schemas.alerts import State, statement_of
from tests.aggregate.test_sinks import fired, neighbour, throttle, withdrawn

PROGRAM = shutil.which("prometheus-alertmanager")
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
GO = threading.Event()  # never set

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        PROGRAM is None, reason="Alertmanager is not installed: apt-get install prometheus-alertmanager"
    ),
]


@contextlib.contextmanager
def alertmanager(folder: Path, port: int) -> Iterator[str]:
    """A new Alertmanager, which knows nothing. Its URL."""
    folder.mkdir()
    (folder / "config.yml").write_text(CONFIG)
    with subprocess.Popen(
        [str(PROGRAM), f"--config.file={folder}/config.yml", f"--storage.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            transport = httpx.HTTPTransport(retries=8)  # waits that double, while it starts
            with httpx.Client(transport=transport) as client:
                assert client.get(f"{url}/-/ready").status_code == 200
            yield url
        finally:
            process.terminate()


def firing(url: str) -> dict[str, Any]:
    """The alerts that it holds to be firing, by their subject."""
    answer = httpx.get(f"{url}/api/v2/alerts")
    return {each["labels"]["subject"]: each for each in answer.json()}


def test_fired_refreshed_over_and_withdrawn(tmp_path: Path) -> None:
    """What Alertmanager shows is what the ledger says, also after it has lost everything."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    file = tmp_path / "alerts.yaml"
    file.write_text(
        f"- {{name: am, type: alertmanager, url: 'http://127.0.0.1:{port}', private: true, min_severity: warning}}\n"
    )
    (sink,) = sinks(file, {})
    assert isinstance(sink, AlertmanagerSink)
    assert sink.route.min_severity is Severity.WARNING
    lake = Lake(tmp_path / "lake")
    lake.create()
    box = Outbox(lake, sink, log=logging.getLogger("test"), clock=lambda: datetime.now(UTC))
    at = datetime.now(UTC) - timedelta(hours=2)
    goes_on, wrong = fired(throttle(at=at)), fired(throttle("bolt", at=at))
    over = fired(throttle("corp", at=at, ends_at=at + timedelta(hours=1)))
    load, ended = fired(neighbour()._replace(subject="dora", at=None)), fired(throttle("egon", at=at))
    ledger.record(lake, ledger.read(lake).table, [goes_on, wrong, over, load, ended], events_version=1)
    with alertmanager(tmp_path / "first", port) as url:
        assert box.send_all(GO).answer is Answer.DELIVERED
        told = firing(url)
        assert set(told) == {"acme", "bolt", "corp", "dora", "egon"}
        assert told["acme"]["labels"] == {
            "alertname": "TollbookThrottle", "alert_id": goes_on.alert_id, "kind": "throttle", "severity": "warning",
            "subject": "acme", "partner": "acme",
        }  # fmt: skip
        assert datetime.fromisoformat(told["acme"]["startsAt"]) == at.replace(
            microsecond=at.microsecond // 1000 * 1000
        ), "Alertmanager keeps milliseconds"
        end = ended.alert._replace(ends_at=datetime.now(UTC) - timedelta(minutes=1))
        later = statement_of(end, State.RESTATED, events_version=2, after=ended)
        ledger.record(lake, ledger.read(lake).table, [withdrawn(wrong), later], events_version=2)
        assert box.send_all(GO).answer is Answer.DELIVERED
        assert set(firing(url)) == {"acme", "corp", "dora"}, "two are resolved: one was wrong, and one has ended"
    assert box.send_all(GO).answer is Answer.AGAIN, "it is down"
    with alertmanager(tmp_path / "second", port) as url:
        assert firing(url) == {}
        assert box.send_all(GO).answer is Answer.DELIVERED
        assert set(firing(url)) == {"acme", "dora"}, "all that holds and goes on"
