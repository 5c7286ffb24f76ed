"""Restore: from a copy, and from Kafka as far as it reaches. The same rows count, whatever came since the copy."""

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest

from aggregate import upkeep
from aggregate.upkeep import UpkeepRules
from aggregate.verify import prove
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from tests.aggregate.fixtures import LANDED_AT
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import Here
from tests.tollbook.test_redrive_kafka import until_sum

pytestmark = pytest.mark.integration
COUNTED = "SELECT source, event_id, partner_id, occurred_at, generation, position, item FROM events ORDER BY ALL"


@pytest.fixture
def site(kafka: str, kafka_prefix: str, here: Here) -> Iterator[Installation]:
    """Topics of two partitions, and processes that end with the test."""
    made = Installation(kafka, kafka_prefix, here.folder, here.catalog)
    yield made
    made.close()


def counted(site: Installation) -> list[dict[str, object]]:
    assert prove(Lake(site.lake)).problems == []
    return Warehouse(Lake(site.lake)).ask(COUNTED).to_pylist()


def landed(site: Installation, entries: int) -> None:
    """Run a land worker until it has landed so many entries, and end it."""
    with site.land() as land:
        until_sum(land, "counted", entries)
        assert land.stop() == 0


def test_a_lake_is_restored_from_a_copy_and_from_kafka(site: Installation, here: Here) -> None:
    """The copy was made before a compaction deleted files that it holds. A new folder reads the topics from their
    beginning.
    """
    site.send_events(3, partition=0)
    site.send_events(2, partition=1)
    landed(site, 50)
    copy = here.folder / "copy"
    shutil.copytree(site.lake, copy)
    site.send_events(2, partition=0)
    landed(site, 20)
    assert list(upkeep.keep_up(Lake(site.lake), now=LANDED_AT, rules=UpkeepRules(2, timedelta(0))))
    whole = counted(site)
    assert len(whole) == 70
    shutil.rmtree(site.lake)
    shutil.copytree(copy, site.lake)
    landed(site, 20)
    assert counted(site) == whole
    shutil.rmtree(site.lake)
    landed(site, 70)
    assert counted(site) == whole
