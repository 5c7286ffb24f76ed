"""A settlement on a real Kafka, beside workers at work: land begins again, and quota hears of what counts."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from aggregate.verify import prove
from lake.lake import Lake
from schemas.kafka.topics import GATEWAY_ACCESS, USAGE_TOTALS
from schemas.kafka.totals import decoded
from tests.kafka.installation import Installation
from tests.tollbook.fixtures import Here, requests, write_catalog
from tests.tollbook.test_redrive_kafka import ANY_TIME, HEADERS, until_sum
from tests.tollbook.test_settle import again


@pytest.fixture
def site(kafka: str, kafka_prefix: str, here: Here) -> Iterator[Installation]:
    """Topics of two partitions, and processes that end with the test."""
    write_catalog(here.catalog, sources=ANY_TIME)
    made = Installation(kafka, kafka_prefix, here.folder, here.catalog)
    yield made
    made.close()


def used(site: Installation) -> Decimal:
    """What the newest totals of all partitions say was used of the month's quota."""
    totals = [total for value in site.values(USAGE_TOTALS) for total in decoded(value)]
    newest = {(total.quota_key, total.events_partition): total for total in totals}
    return sum((total.used for total in newest.values()), Decimal(0))


def test_land_begins_again_after_a_settlement_and_publishes_what_counts(site: Installation, here: Here) -> None:
    """Twenty requests, of which eight came again nine days later: the settlement gives eight back."""
    settle = ["settle", "--lake", here.lake, "--json"]
    with site.ingest() as ingest, site.land() as land:
        site.send(GATEWAY_ACCESS, (b"".join(requests(20)), HEADERS))
        until_sum(land, "counted", 20)
        assert here.tollbook(*settle).json["withdrawn"] == 0
        site.send(GATEWAY_ACCESS, (b"".join(again(range(8), 9)), HEADERS))
        until_sum(land, "counted", 28)  # from its beginning on
        done = here.tollbook(*settle).json
        assert (done["recent"], done["earlier"], done["withdrawn"]) == (8, 20, 8)
        assert land.ended() == 75, "nothing came, and it has noticed"
        with site.land() as successor:
            successor.until_logged("assigned")
            site.send(GATEWAY_ACCESS, (b"".join([*again(range(8), 9), *requests(3, 1_790_900_000_000)]), HEADERS))
            until_sum(successor, "counted", 3)
            assert here.tollbook(*settle).json["withdrawn"] == 0
            assert (ingest.stop(), successor.stop()) == (0, 0)
    assert used(site) == 23
    proof = prove(Lake(here.lake))
    totals = proof.totals()
    assert proof.problems == []
    assert {name: totals[name] for name in ("entries", "counted", "duplicates", "conflicts")} == {
        "entries": 39,
        "counted": 23,
        "duplicates": 8,
        "conflicts": 8,
    }
