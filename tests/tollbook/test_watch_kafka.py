"""The watch of the quota workers: a source that is behind the clock is told, whatever the clock and the lake do."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer

from aggregate.alerts import ledger
from aggregate.landing import derived_commits
from aggregate.landing.land import Land
from billing.catalog import loading as catalogs
from lake import duck
from lake.lake import Lake
from schemas.alerts import Kind
from schemas.kafka.topics import QUOTA_STATE, USAGE_ALERTS
from schemas.windows import WINDOW_US, from_us, to_us
from tests.aggregate.fixtures import event, now, partition
from tests.aggregate.memory_log import MemoryLog
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import write_catalog
from tests.tollbook.waiting import eventually
from tollbook.deciding.publisher import StatePublisher
from tollbook.workers import alerts
from tollbook.workers.alerts import Alerts

NEWEST = datetime(2026, 10, 9, 12, tzinfo=UTC)  # the end of the newest window
MINUTE = timedelta(minutes=1)


@pytest.fixture
def site(kafka: str, kafka_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """Topics, a catalog, and a lake without usage."""
    made = Installation(kafka, kafka_prefix, tmp_path, write_catalog(tmp_path / "catalog"))
    Lake(made.lake).create()
    yield made
    made.close()


def land(site: Installation, end: datetime, windows: int, name: str) -> None:
    """One event in each of so many windows up to `end`, from one source."""
    times = [to_us(end) - WINDOW_US * n for n in range(windows, 0, -1)]
    rows = [event(f"{name}-{at}", at) for at in times]
    for _ in Land(Lake(site.lake), MemoryLog(partition(rows, name)), catalog_sha256="c", now=now).run():
        pass
    derived_commits.catch_up(Lake(site.lake), duck.connect())


def told(site: Installation) -> list[tuple[str, str | None]]:
    """What the topic says about sources that are behind: state, and end."""
    events = [json.loads(value)["data"] for value in site.values(USAGE_ALERTS)]
    return [(data["state"], data["ends_at"]) for data in events if data["kind"] == "lag"]


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def watching(site: Installation, clock: Clock) -> Iterator[None]:
    """The lease on alerts, held by this process."""
    lake, log, stop = Lake(site.lake), logging.getLogger("test"), threading.Event()
    producer = Producer(site.config.producer_options(linger_ms=0))
    state = site.prefix + QUOTA_STATE
    mine = Alerts(
        lake, catalogs.load(site.catalog), site.config, site.prefix + USAGE_ALERTS, site.partitions,
        states=lambda: StatePublisher(lake, site.catalog, producer, state, site.partitions, clock=clock, log=log),
        log=log, clock=clock, stop=stop,
    )  # fmt: skip
    thread = threading.Thread(target=mine.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_source_falls_behind_while_nothing_comes_and_catches_up(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No commit wakes the watch when a log stops; it looks by itself. What comes later ends the alert."""
    monkeypatch.setattr(alerts, "_IDLE_S", 0.1)  # a minute otherwise
    land(site, NEWEST, 96, "a")
    clock = Clock(NEWEST + 30 * MINUTE)
    with watching(site, clock):
        eventually(lambda: ledger.read(Lake(site.lake)).mark("watch-rollups") is not None)
        assert told(site) == []
        clock.now += timedelta(microseconds=1)
        eventually(lambda: told(site) == [("fired", None)])
        land(site, NEWEST + 30 * MINUTE, 1, "b")
        expected = [("fired", None), ("restated", (NEWEST + 30 * MINUTE).isoformat())]
        eventually(lambda: told(site) == expected)
    found = [s.alert for s in ledger.history(Lake(site.lake)) if s.alert.kind is Kind.LAG]
    assert [(alert.subject, alert.at) for alert in found] == [("edge", NEWEST)] * 2


def test_the_quota_worker_tells_a_source_that_is_behind(site: Installation) -> None:
    """The command follows its logs, so it judges sources; it uses the clock of its machine."""
    newest = from_us((to_us(datetime.now(UTC)) // WINDOW_US - 3) * WINDOW_US)  # 45 minutes ago, or more
    land(site, newest, 96, "a")
    with site.quota() as worker:
        eventually(lambda: told(site) == [("fired", None)])
        land(site, newest + 45 * MINUTE, 1, "b")
        eventually(lambda: told(site)[1:] == [("restated", (newest + 45 * MINUTE).isoformat())])
        assert worker.stop() == 0
