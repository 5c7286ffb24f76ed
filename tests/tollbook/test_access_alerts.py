"""Alerts about who sends: one for what a person would look at once, however many lines it makes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aggregate.alerts.detectors import access
from schemas.alerts import Kind
from tests.tollbook.fixtures import DAY_MS, MINUTE_MS, T0_MS, Here, requests, write_catalog

NETWORKS = """
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: small, valid_from: 2026-01-01}]
    credentials: [{kind: consumer, id: c-acme, networks: [203.0.113.0/24]}]
"""
BOTH = NETWORKS + "    # another one\n" + NETWORKS.removeprefix("\npartners:\n").replace("acme", "bolt")


def statements(here: Here, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """State, subject and evidence of each statement about alerts of a kind, in order."""
    found, mine = [], set()
    for row in here.table("alerts", "FROM t ORDER BY number, began_at, subject"):
        about = row["withdraws"] or row["restates"] or row["alert_id"]
        if row["kind"] == kind:
            mine.add(about)
        if about in mine:
            found.append((row["kind"], row["subject"], json.loads(row["evidence"])))
    return found


def test_a_credential_from_outside_its_networks_is_one_alert_a_day(here: Here) -> None:
    """Forty requests are one alert; another network on the same day is news, another request is not."""
    write_catalog(here.catalog, partners=NETWORKS)
    here.run(here.log("a.log", *requests(3), *requests(20, T0_MS + 60 * MINUTE_MS, client_ip="198.51.100.7")))
    [(kind, subject, evidence)] = statements(here, "network")
    assert (kind, subject, evidence["requests"], evidence["networks"]) == (
        "network",
        "consumer:c-acme",
        20,
        ["198.51.100.0/24"],
    )
    here.run(here.log("b.log", *requests(20, T0_MS + 90 * MINUTE_MS, client_ip="198.51.100.9")))
    assert len(statements(here, "network")) == 1
    here.run(here.log("c.log", *requests(1, T0_MS + 200 * MINUTE_MS, client_ip="192.0.2.1")))
    kind, _, evidence = statements(here, "network")[-1]
    assert (kind, evidence["networks"], evidence["requests"]) == ("restated", ["192.0.2.0/24", "198.51.100.0/24"], 41)
    here.run(here.log("d.log", *requests(1, T0_MS + DAY_MS, client_ip="192.0.2.1")))
    assert [kind for kind, *_ in statements(here, "network")] == ["network", "network", "restated"]


def test_an_unknown_credential_with_traffic_is_one_alert_until_a_redrive_counts_it(here: Here) -> None:
    """A forgotten partner is told once, a typing error never, and a redrive withdraws it."""
    here.run(here.log("a.log", *requests(1), *requests(9, T0_MS + DAY_MS, consumer="c-bolt")))
    assert statements(here, "credential") == []
    here.run(here.log("b.log", *requests(15, T0_MS + 2 * DAY_MS, consumer="c-bolt")))
    [(kind, _, evidence)] = statements(here, "credential")
    assert (kind, evidence["requests"], evidence["sources"], evidence["reasons"]) == (
        "credential",
        24,
        ["edge"],
        ["UNKNOWN_CREDENTIAL"],
    )
    assert "c-bolt" not in json.dumps(here.table("alerts"), default=str), "the lake holds its hash only"
    write_catalog(here.catalog, partners=BOTH)
    words = [
        "--catalog",
        here.catalog,
        "--lake",
        here.lake,
        "--format",
        "kong",
        "--source",
        "edge",
        here.folder / "a.log",
        here.folder / "b.log",
    ]
    redriven = here.tollbook("dead", "redrive", *words)
    assert redriven.code == 0, redriven.err
    here.run(here.folder / "a.log")
    assert [kind for kind, *_ in statements(here, "credential")] == ["credential", "withdrawn"]


@pytest.mark.slow
def test_entries_that_conflict_are_one_alert_for_each_source_and_day(here: Here) -> None:
    """A gateway that writes an id twice with other content is one thing to look at."""
    here.run(here.log("a.log", *requests(12)))
    here.run(here.log("b.log", *requests(9, response__size=1)))
    assert statements(here, "conflict") == []
    here.run(here.log("c.log", *requests(12, response__size=2)[9:]))
    [(kind, subject, evidence)] = statements(here, "conflict")
    assert (kind, subject, evidence["entries"], evidence["partners"]) == ("conflict", "edge", 12, ["acme"])


@pytest.mark.parametrize(("count", "alone", "others"), [(20, 20, 0), (21, 20, 1), (5_000, 20, 4_980)])
def test_nobody_can_flood_on_call_with_credentials(count: int, alone: int, others: int) -> None:
    """A scanner with thousands of keys is twenty alerts a day, and one that says how many more there are."""
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    rows = [
        {"credential_hash": f"{n:064x}", "entries": 10, "first_at": begin + timedelta(seconds=n), "last_at": begin + timedelta(hours=2),
         "sources": ["edge"], "reasons": ["UNKNOWN_CREDENTIAL"]}
        for n in range(count)
    ]  # fmt: skip
    alerts = access.unknown(reversed(rows))
    assert {alert.kind for alert in alerts} == {Kind.CREDENTIAL}
    assert [alert.subject for alert in alerts[:20]] == [f"{n:064x}" for n in range(alone)]
    assert [alert.evidence["credentials"] for alert in alerts[20:]] == ([others] if others else [])
    assert len({alert.alert_id for alert in alerts}) == len(alerts)
