"""Debian's Prometheus and Alertmanager with the files of deploy/: a worker that is down reaches whoever is paged."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.dockerfile import ROOT

DEPLOY = ROOT / "deploy"
PROMETHEUS, ALERTMANAGER = shutil.which("prometheus"), shutil.which("prometheus-alertmanager")
WAIT_S = 60
PAUSE = threading.Event()  # never set

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROMETHEUS is None or ALERTMANAGER is None,
        reason="not installed: apt-get install prometheus prometheus-alertmanager",
    ),
]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def started(*words: str) -> Iterator[None]:
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def told(url: str) -> list[dict[str, Any]]:
    """The alerts that Alertmanager holds for the receiver of pages; waits for the first."""
    deadline = time.monotonic() + WAIT_S
    with httpx.Client(transport=httpx.HTTPTransport(retries=8), trust_env=False) as client:
        while True:
            found: list[dict[str, Any]] = client.get(f"{url}/api/v2/alerts", params={"receiver": "pages"}).json()
            if found:
                return found
            assert time.monotonic() < deadline, "no alert has come"
            PAUSE.wait(0.2)


def test_a_worker_that_is_down_is_a_page_with_its_runbook(tmp_path: Path) -> None:
    """The files are those of the Compose file but for addresses and waiting times: nobody listens where workers should.

    What the configuration of one names, the other one must understand, which no check of a single file shows.
    """
    manager, server, nobody = free_port(), free_port(), free_port()
    config = (DEPLOY / "prometheus.yml").read_text()
    for worker in ("serve", "ingest", "land-1", "land-2", "quota"):
        config = config.replace(f"{worker}:9464", f"127.0.0.1:{nobody}")
    config = config.replace("alertmanager:9093", f"127.0.0.1:{manager}").replace("15s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
    (tmp_path / "alerts.yml").write_text((DEPLOY / "alerts.yml").read_text().replace("for: 3m", "for: 1s"))
    with (
        started(
            str(ALERTMANAGER), f"--config.file={DEPLOY / 'alertmanager.yml'}", f"--storage.path={tmp_path / 'am'}",
            f"--web.listen-address=127.0.0.1:{manager}", "--cluster.listen-address=",
        ),
        started(
            str(PROMETHEUS), f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{server}",
        ),
    ):  # fmt: skip
        alerts = told(f"http://127.0.0.1:{manager}")
    assert {alert["labels"]["alertname"] for alert in alerts} == {"TollbookWorkerDown"}
    assert all(alert["labels"]["severity"] == "page" for alert in alerts)
    assert all(alert["annotations"]["runbook"] == "docs/on-call.md#tollbookworkerdown" for alert in alerts)
    assert all(f"127.0.0.1:{nobody} has not answered" in alert["annotations"]["summary"] for alert in alerts)
