"""The workers on a real Kafka against an independent ledger, while processes and the broker die: every cell, cent
and alert.
"""

import collections
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.e2e import alert_oracle, alerts_landed, fault_report, oracle
from tests.e2e.comparison import differences, recorded, tollbook
from tests.e2e.fleet import INGEST, LAND, PARTITIONS, Faults, Fleet
from tests.kafka.broker import Broker
from tests.kafka.finding import missing
from tests.kafka.jars import Unavailable
from tests.long import LONG

SEED = int(os.environ.get("ORACLE_SEED", "20261031"))
EVENTS = int(os.environ.get("ORACLE_EVENTS", "500000" if LONG else "40000"))
KILLS, BROKER_KILLS = (10, 2) if LONG else (2, 1)  # of each ingest and land worker
QUOTA_LIMIT = EVENTS // 5  # one partner is far over it, one comes near, one stays below
NOW = "2026-11-06T00:00:00Z"

pytestmark = pytest.mark.slow


class Site(NamedTuple):
    """What a run left behind; the workers are stopped, the broker is up."""

    ledger: oracle.Ledger
    fleet: Fleet
    catalog: Path
    seconds: float


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The oracle's records through workers that were killed again and again."""
    folder = tmp_path_factory.mktemp("kafka-oracle")
    print(f"seed {SEED}, {EVENTS} events")
    ledger, records = oracle.records(SEED, EVENTS, PARTITIONS)
    catalog = folder / "catalog"
    catalog.mkdir()
    (catalog / "catalog.yaml").write_text(oracle.catalog(QUOTA_LIMIT, any_time=True))
    try:
        broker = Broker()
    except Unavailable as exc:
        missing([f"a broker that may be killed is started by Java: {exc}"])
    with broker:
        fleet = Fleet(broker, folder)
        try:
            started = time.monotonic()
            Faults(fleet, records, SEED + 1, KILLS, broker_kills=BROKER_KILLS).run()
            fleet.stop(*INGEST, *LAND)
            seconds = time.monotonic() - started
            yield Site(ledger, fleet, catalog, seconds)
            if LONG and not request.session.testsfailed:
                fault_report.write(SEED, ledger, fleet, seconds, QUOTA_LIMIT)
        finally:
            fleet.close()


def proved(site: Site) -> dict[str, Any]:
    """The product's own proof, after ours."""
    assert differences(site.ledger, site.fleet.lake) == []
    proof: dict[str, Any] = json.loads(tollbook("verify", "--lake", site.fleet.lake, "--json"))
    ledger = site.ledger
    assert proof["ok"]
    assert {
        k: proof[k] for k in ("entries", "counted", "duplicates", "conflicts", "refused", "on_the_way", "unexplained")
    } == {
        "entries": ledger.entries,
        "counted": sum(ledger.counted.values()),
        "duplicates": sum(ledger.duplicates.values()),
        "conflicts": sum(ledger.conflicts.values()),
        "refused": sum(ledger.refused.values()),
        "on_the_way": 0,
        "unexplained": 0,
    }
    return proof


def test_every_cell_equals_the_ledger_whatever_died(site: Site) -> None:
    """Counted, duplicates, conflicts, refusals and rollups are the ledger's; the books balance, and nothing is on
    its way.
    """
    proved(site)
    fleet = site.fleet
    assert fleet.kills["ingest"] >= 2 * KILLS
    assert fleet.kills["land"] >= 2 * KILLS
    assert fleet.kills_at_work >= 2 * KILLS, "most of the kills fell into nothing"
    assert fleet.logged("another worker owns this worker's partitions") >= 1
    assert fleet.totals("landed", "redelivered") > 0, "nothing was sent again: the faults did not bite"
    print(
        f"{site.ledger.entries} entries in {site.seconds:.0f} s: kills {dict(fleet.kills)}, {fleet.kills_at_work} at work; "
        f"ends by themselves {dict(fleet.exits)}; sent again {fleet.totals('landed', 'redelivered')}"
    )


def test_invoices_equal_the_ledger_to_the_cent(site: Site) -> None:
    """Totals from own arithmetic; rendered again they are the same bytes."""
    for month in (9, 10):  # in order
        issue = [
            *(
                "invoice",
                "issue",
                "--period",
                f"2026-{month:02d}",
                "--accept-refused",
                "keys that the ledger gives to nobody",
            ),
            *("--catalog", site.catalog, "--lake", site.fleet.lake, "--now", NOW, "--json"),
        ]
        issued = json.loads(tollbook(*issue))["invoices"]
        assert {i["partner_id"]: (i["total"], i["currency"]) for i in issued} == site.ledger.totals(2026, month)
    assert json.loads(tollbook("invoice", "verify", "--lake", site.fleet.lake, "--json"))["ok"]


def test_alerts_of_every_kind_are_those_predicted_each_told_once_and_none_early(site: Site) -> None:
    """What partners and on-call are told rests on counted events alone, whatever was published twice or late, and
    whoever died.

    Predicted, the table in the lake and the topic agree, to the request and figure. No statement is in the topic twice,
    and each was right by the events of the commit that it names.
    """
    due = alert_oracle.due(site.ledger, QUOTA_LIMIT)
    lake = site.fleet.lake

    def missing() -> list[object]:
        """What the topic lacks of the table, and the table of what was predicted, with what it has instead."""
        stated = known(recorded(lake))
        unsent = {event["id"] for event in alerts(site.fleet)} ^ {data["id"] for data in recorded(lake)}
        return [*sorted(unsent), *alert_oracle.differences(due, alert_oracle.holding(stated))]

    site.fleet.until(lambda: not missing(), moves=lambda: repr(missing()))
    events = alerts(site.fleet)
    assert len({event["id"] for event in events}) == len(events), "twice"
    told = known(event["data"] for event in events)
    assert alert_oracle.differences(due, alert_oracle.holding(told)) == []
    assert alert_oracle.repeats(told) == []
    assert alerts_landed.unfounded(lake, site.ledger, told, QUOTA_LIMIT) == []
    fired = collections.Counter(data["kind"] for data in told if data["state"] == "fired")
    states = collections.Counter(data["state"] for data in told)
    print(f"alerts fired {dict(fired)}; statements {dict(states)}")
    assert fired.keys() == alert_oracle.KINDS


def known(statements: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without lag, which depends on the clock: there is some if this runs in the week after the newest line."""
    return [data for data in statements if data["kind"] != "lag"]


def alerts(fleet: Fleet) -> list[dict[str, Any]]:
    """All messages of `usage.alerts`."""
    consumer = Consumer(
        {"bootstrap.servers": fleet.broker.bootstrap, "group.id": "none", "enable.auto.commit": False, "log_level": 0}
    )
    try:
        ends = {
            p: consumer.get_watermark_offsets(TopicPartition("usage.alerts", p), timeout=10)[1]
            for p in range(PARTITIONS)
        }
        consumer.assign([TopicPartition("usage.alerts", p, 0) for p in ends])
        messages = consumer.consume(sum(ends.values()), timeout=20)
        return [json.loads(message.value()) for message in messages]
    finally:
        consumer.close()


def test_all_of_it_again_changes_nothing(site: Site) -> None:
    """The groups forgotten, every record is read and sent again from the first: all of it is known, and nothing is
    counted.
    """
    fleet = site.fleet
    before = proved(site)
    again = fleet.totals("landed", "redelivered")
    fleet.reset(forget=True)
    fleet.start(*INGEST, *LAND)
    fleet.until(lambda: fleet.totals("landed", "redelivered") - again >= before["entries"], moves=fleet.offsets)
    fleet.settled()
    fleet.stop(*INGEST, *LAND)
    assert proved(site) == before


@pytest.mark.parametrize("harm", ["lost", "doubled"])
def test_the_comparison_bites(site: Site, harm: str) -> None:
    """One event too few or too many in the ledger is noticed."""
    cell = next(iter(site.ledger.counted))
    harmed = oracle.Ledger()
    harmed.__dict__.update({**site.ledger.__dict__, "counted": collections.Counter(site.ledger.counted)})
    harmed.counted[cell] += 1 if harm == "lost" else -1
    assert any(str(cell) in line for line in differences(harmed, site.fleet.lake))
