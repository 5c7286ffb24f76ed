"""What a partner tries with the ids and times of its own feed: it can neither take another's usage away nor change an
issued invoice.

Security, S7, S8 and S9.
"""

import json

import pytest

from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import DAY_MS, PARTNERS, T0_MS, Here, write_catalog

SOURCES = """
sources:
  - {id: feed-acme, partner: acme}
  - {id: feed-bolt, partner: bolt}
"""
BOLT = (
    PARTNERS.replace("id: acme", "id: bolt")
    .replace("Acme", "Bolt")
    .replace("c-acme", "c-bolt")
    .removeprefix("\npartners:\n")
)


@pytest.fixture
def feeds(here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(here.folder)
    write_catalog(here.catalog, partners=PARTNERS + BOLT, sources=SOURCES)
    return here


def unnamed(event_id: str, size: int = 900, at_ms: int = T0_MS) -> bytes:
    """An event that names nobody: it is the feed's owner's."""
    return line(kong(event_id, consumer=None, started_at=at_ms, response__size=size))


def counted(here: Here) -> set[tuple[str, str, int]]:
    return {(r["partner_id"], r["event_id"], r["response_bytes"]) for r in here.table("events", "FROM t")}


def test_ids_that_another_partner_will_use_take_nothing_away(feeds: Here) -> None:
    """An id belongs to its source, and a source to one partner: to squat on ids is to send usage of one's own."""
    ids = [f"order-{n}" for n in range(5)]
    assert feeds.run(feeds.log("a.log", *(unnamed(i, 0) for i in ids)), source="feed-acme").code == 0
    assert feeds.run(feeds.log("b.log", *(unnamed(i) for i in ids)), source="feed-bolt").code == 0
    assert counted(feeds) == {("acme", i, 0) for i in ids} | {("bolt", i, 900) for i in ids}
    assert feeds.table("dead") == []
    assert feeds.balanced(10)


def test_a_feed_cannot_name_another_partners_credential(feeds: Here) -> None:
    """Neither to bill it nor to be taken for it."""
    assert feeds.run(feeds.log("a.log", line(kong("x", consumer__id="c-bolt"))), source="feed-acme").code == 0
    assert counted(feeds) == set()
    assert [(r["reason"], r["partner_id"]) for r in feeds.table("dead")] == [("PARTNER_MISMATCH", None)]


def test_within_a_feed_the_first_stays_and_what_contradicts_it_is_reported(feeds: Here) -> None:
    """A zero sent first under an id to come suppresses the real one, of the same partner; a person is told, with
    both.
    """
    first, second = unnamed("x", 0), unnamed("x", 900)
    assert feeds.run(feeds.log("a.log", first), source="feed-acme").code == 0
    report = feeds.tollbook(*feeds.run_words(feeds.log("b.log", second), source="feed-acme"), "--json").json
    assert (report["counted"], report["conflicts"]) == (0, 1)
    assert counted(feeds) == {("acme", "x", 0)}
    (letter,) = feeds.table("dead", "FROM t")
    assert (letter["reason"], letter["partner_id"]) == ("ID_CONFLICT", "acme")
    (text,) = feeds.table("texts")
    assert json.loads(text["raw"])["response_bytes"] == 900
    assert "ID_CONFLICT" in feeds.tollbook("dead", "list", "--lake", feeds.lake).out
    assert feeds.balanced(2)


@pytest.mark.slow
def test_usage_that_is_dated_back_into_a_closed_month_is_late_and_changes_no_invoice(feeds: Here) -> None:
    """It counts in its own month, is told as late, and the issued invoice is made again with the same bytes."""
    assert feeds.run(feeds.log("a.log", *(unnamed(f"o-{n}") for n in range(4))), source="feed-acme").code == 0
    assert feeds.close().code == 0
    lake, month = ["--lake", feeds.lake], ["--period", "2026-10"]
    issue = ["invoice", "issue", *lake, *month, "--now", "2026-11-06T00:00:00Z", "--json"]
    before = feeds.tollbook(*issue).json["invoices"]
    assert feeds.run(feeds.log("b.log", unnamed("back", at_ms=T0_MS + DAY_MS)), source="feed-acme").code == 0
    proof = feeds.tollbook("invoice", "verify", *lake, "--json")
    assert proof.code == 3
    reported = [(late["partner_id"], late["period"], late["requests"]) for late in proof.json["late_usage"]]
    assert reported == [("acme", "2026-10", 1)]
    again = feeds.tollbook(*issue).json["invoices"]
    assert [(i["number"], i["total"]) for i in again] == [(i["number"], i["total"]) for i in before]
    assert before[0]["total"] == "1.00"
    assert ("acme", "back", 900) in counted(feeds)
    assert feeds.balanced(5)
