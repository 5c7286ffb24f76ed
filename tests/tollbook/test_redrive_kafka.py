"""Redrive on a real Kafka, beside workers at work: records come from the topic, and land takes up what was counted."""

from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Producer

from aggregate.verify import prove
from ingest.replay import refetch
from lake.lake import Lake
from schemas.kafka.topics import GATEWAY_ACCESS
from schemas.log import AccessPartition
from tests.kafka.installation import Installation
from tests.kafka.processes import LogLine, Process
from tests.tollbook.fixtures import DAY_MS, T0_MS, Here, process, requests, table_rows, write_catalog
from tests.tollbook.fixtures import ended as end_of
from tests.tollbook.test_redrive import NEW, became, unnamed
from tests.tollbook.test_runs import KILL_AFTER_COMMIT
from tollbook.kafka.access_records import AccessRecords
from tollbook.kafka.cluster import Cluster

HEADERS = [("format", b"kong"), ("source", b"edge")]
ANY_TIME = "sources: [{id: edge, max_age_days: 36500, max_future_minutes: 52560000}]\n"


@pytest.fixture
def site(kafka: str, kafka_prefix: str, here: Here) -> Iterator[Installation]:
    """Topics of two partitions, and processes that end with the test."""
    write_catalog(here.catalog, sources=ANY_TIME)
    made = Installation(kafka, kafka_prefix, here.folder, here.catalog)
    yield made
    made.close()


def access_of(site: Installation, number: int) -> AccessPartition:
    topic = site.prefix + GATEWAY_ACCESS
    return AccessPartition(topic, number, Cluster(site.config).found([topic])[topic].topic_id)


def until_sum(land: Process, outcome: str, entries: int) -> None:
    """Wait until a worker has landed so many entries of one outcome."""
    total = 0

    def enough(line: LogLine) -> bool:
        nonlocal total
        total += line.get(outcome, 0)
        return total >= entries

    land.until(enough)


@pytest.mark.slow
def test_a_key_that_was_unknown_for_a_day_is_counted_beside_workers_at_work(site: Installation, here: Here) -> None:
    """Whole lines by the lake alone, masked ones by the topic, whoever is killed; each once, and with the id of its
    place.
    """
    new = [text.replace(b"?page=2", b"") for text in requests(3, T0_MS + DAY_MS, consumer="c-new")]
    words = ["dead", "redrive", "--catalog", here.catalog, "--lake", here.lake, "--format", "kong", "--source", "edge"]
    brokers = ["--bootstrap-servers", site.config.bootstrap_servers]
    with site.ingest() as ingest, site.land() as land:
        site.send(GATEWAY_ACCESS, (b"".join([*requests(2), *new]), HEADERS))
        site.send(GATEWAY_ACCESS, (b"".join(unnamed(requests(4, T0_MS, consumer="c-new"))), HEADERS), partition=1)
        until_sum(land, "refused", 7)
        write_catalog(here.catalog, **NEW)
        first = here.tollbook(*words, "--json")
        assert (first.code, became(first)) == (
            1,
            {("UNKNOWN_CREDENTIAL", "counted"): 3, ("UNKNOWN_CREDENTIAL", "left"): 4},
        )
        assert land.ended() == 75, "nothing came, and it has noticed"
        with site.land() as successor:
            successor.until_logged("assigned")
            died = process([str(word) for word in [*words, *brokers]], folder=here.folder,
                           code=("-c", KILL_AFTER_COMMIT.replace("TABLE", "'events'")))  # fmt: skip
            assert end_of(died).code == 9
            assert here.tollbook(*words, *brokers).out == "No refused entries to redrive.\n"
            assert successor.ended() == 75
        with site.land() as last:
            site.send(GATEWAY_ACCESS, (b"".join(requests(5, T0_MS + 600_000)), HEADERS))
            until_sum(last, "counted", 5)
            assert (ingest.stop(), last.stop()) == (0, 0)
    proof = prove(Lake(here.lake))
    assert (proof.problems, proof.totals()["entries"], proof.totals()["counted"]) == ([], 14, 14)
    derived = table_rows(here.lake, "events", "SELECT event_id FROM t WHERE event_id LIKE '@%' ORDER BY ALL")
    place = access_of(site, 1).generation
    assert [row["event_id"] for row in derived] == [f"@{place}:0:{item}" for item in range(4)]


def fetched(site: Installation, offsets: Sequence[int]) -> list[tuple[int, bytes | None]]:
    batches = AccessRecords(site.config)(access_of(site, 0), offsets)
    assert batches is not None
    return [pair for batch in batches for pair in zip(batch.offsets.tolist(), batch.values, strict=True)]


def test_records_are_fetched_by_their_offsets_as_far_as_they_are_there(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted ones, ones that were taken back and offsets that never were are left out, and nothing waits for them."""
    monkeypatch.setattr(refetch, "SKIP_RECORDS", 2)
    for n in range(8):
        site.send(GATEWAY_ACCESS, (b"%d" % n, HEADERS))
    producer = Producer({**site.config.client_options(), "transactional.id": f"{site.prefix}t", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(site.prefix + GATEWAY_ACCESS, b"taken back", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    assert fetched(site, [0, 3, 4, 7, 8, 9, 500]) == [(n, b"%d" % n) for n in (0, 3, 4, 7)]
    site.delete_records(GATEWAY_ACCESS, 4)
    assert fetched(site, [0, 3, 4, 7]) == [(4, b"4"), (7, b"7")]
    assert fetched(site, [0, 3]) == []


def test_another_topic_of_the_same_name_is_not_asked(site: Installation) -> None:
    """Its offsets are those of other records."""
    site.send(GATEWAY_ACCESS, (b"0", HEADERS))
    before = access_of(site, 0)
    site.delete(GATEWAY_ACCESS)
    assert AccessRecords(site.config)(before, [0]) is None
    site.make(GATEWAY_ACCESS)
    site.send(GATEWAY_ACCESS, (b"other", HEADERS))
    assert AccessRecords(site.config)(before, [0]) is None
