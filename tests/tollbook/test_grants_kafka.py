"""Grants on Kafka: land publishes totals with the limit that holds now, whether or not there is usage."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.kafka import totals, wire
from schemas.kafka.topics import USAGE_EVENTS, USAGE_TOTALS
from schemas.log import Origin
from schemas.tables import FRESH_EVENTS
from schemas.windows import to_us
from schemas.zones import utc_text
from tests.aggregate.fixtures import PLAIN, event
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import Here, write_catalog
from tests.tollbook.waiting import eventually

USED = 60
Published = list[tuple[str, str]]  # limit and usage of each total, in order


@pytest.fixture
def site(kafka: str, kafka_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """A partner with a quota of 100 requests a month, which has used 60 in the present month."""
    made = Installation(kafka, kafka_prefix, tmp_path, write_catalog(tmp_path / "catalog"))
    now = to_us(datetime.now(UTC))
    rows = [event(f"e{n}", now, position=n) for n in range(USED)]
    value = wire.encoded(pa.Table.from_pylist(rows, PLAIN).cast(FRESH_EVENTS))
    made.send(USAGE_EVENTS, (value, wire.headers(wire.EVENTS_3, [Origin("g", 0, USED)])))
    yield made
    made.close()


def published(site: Installation) -> Published:
    found = [total for value in site.values(USAGE_TOTALS) for total in totals.decoded(value)]
    return [(str(total.limit), str(total.used)) for total in found]


def granted(here: Here, site: Installation, *words: object) -> str:
    """Grant or revoke, and the id of the grant."""
    done = here.tollbook("quota", "grant", *words, "--lake", site.lake, "--catalog", site.catalog, "--json")
    assert done.code == 0, done.err
    return str(done.json["grant_id"])


def test_a_grant_reaches_the_totals_when_it_is_recorded_revoked_begins_and_ends(site: Installation, here: Here) -> None:
    """A partner that is blocked sends no events, and its new limit must not wait for any."""
    with site.land() as worker:
        eventually(lambda: published(site) == [("100", "60")])
        given = (
            "acme",
            "requests",
            "100",
            "--until",
            utc_text(datetime.now(UTC) + timedelta(hours=1)),
            "--reason",
            "launch",
        )
        grant = granted(here, site, *given)
        eventually(lambda: published(site) == [("100", "60"), ("200", "60")])
        granted(here, site, "--revoke", grant, "--reason", "mistake")
        eventually(lambda: published(site) == [("100", "60"), ("200", "60"), ("100", "60")])
        begins = datetime.now(UTC) + timedelta(seconds=4)
        times = ("--from", utc_text(begins), "--until", utc_text(begins + timedelta(seconds=3)))
        granted(here, site, "acme", "requests", "50", *times, "--reason", "an evening")
        expected = [("100", "60"), ("200", "60"), ("100", "60"), ("150", "60"), ("100", "60")]
        eventually(lambda: published(site) == expected)
        assert worker.stop() == 0
    assert published(site) == expected, "nothing else was published"


@pytest.mark.slow
def test_a_worker_that_takes_over_publishes_the_limit_with_its_grants(site: Installation, here: Here) -> None:
    """The totals that a new owner publishes from the lake have the limit of the catalog at first."""
    with site.land() as worker:
        eventually(lambda: published(site) == [("100", "60")])
        worker.kill()
    granted(here, site, "acme", "requests", "100", "--until", utc_text(datetime.now(UTC) + timedelta(hours=1)), "--reason", "launch")  # fmt: skip
    with site.land("--session-timeout-ms", "6000"):
        eventually(lambda: published(site)[-1] == ("200", "60"))
