"""`tollbook invoice unbilled` and `invoice verify`: money that is in no invoice is seen, and told apart from damage."""

from pathlib import Path

import pytest

from tests.tollbook.fixtures import AFTER_OCTOBER, DAY_MS, PARTNERS, T0_MS, Here, requests, write_catalog

BOTH = PARTNERS + PARTNERS.removeprefix("\npartners:\n").replace("acme", "bolt").replace("Acme", "Bolt")
REDRIVE = ["--format", "kong", "--source", "edge", "--reason", "UNKNOWN_CREDENTIAL"]


@pytest.fixture
def invoiced(here: Here) -> Here:
    """October of acme is invoiced: 10 requests. 4 of bolt, whom the catalog had forgotten, were refused."""
    log = here.log("a.log", *requests(10), *requests(4, T0_MS + DAY_MS, consumer="c-bolt"))
    assert here.run(log).code == 0
    assert here.close("--accept-refused", "a test").code == 0 or here.close().code == 0
    words = ["--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER]
    assert here.tollbook("invoice", "issue", *words).code == 0
    return here


def added(here: Here) -> None:
    """Bring bolt into the catalog and read its lines again."""
    write_catalog(here.catalog, partners=BOTH)
    done = here.tollbook("dead", "redrive", "--catalog", here.catalog, "--lake", here.lake, *REDRIVE)
    assert (done.code, done.err) == (0, "")


def test_all_that_was_counted_is_invoiced(invoiced: Here) -> None:
    """Exit code 0, and a sentence that says so."""
    done = invoiced.tollbook("invoice", "unbilled", "--lake", invoiced.lake)
    assert (done.code, done.err) == (0, "")
    assert "All usage of settled months is in issued invoices." in done.out
    assert invoiced.tollbook("invoice", "unbilled", "--lake", invoiced.lake, "--json").json == {"unbilled": []}
    proved = invoiced.tollbook("invoice", "verify", "--lake", invoiced.lake, "--json")
    assert (proved.code, proved.json["unbilled"]) == (0, [])


@pytest.mark.slow
def test_a_forgotten_partner_that_was_redriven_after_issue_is_seen(invoiced: Here) -> None:
    """4 requests at 0.25, in no invoice: with the catalog by their price, without it by their number.

    Exit code 3, not 1.
    """
    added(invoiced)
    lake, catalog = ["--lake", invoiced.lake], ["--catalog", invoiced.catalog]
    for command in ("unbilled", "verify"):
        done = invoiced.tollbook("invoice", command, *lake, *catalog, "--json")
        assert done.code == 3
        assert [c.partition(";")[0] for c in done.complaints] == [
            "unbilled usage of bolt belongs to partners whose month was not issued"
        ]
        assert done.json["unbilled"] == [
            {
                "kind": "not_issued", "partner_id": "bolt", "period": "2026-10", "number": None, "start": "2026-10-01T00:00:00+00:00",
                "end": "2026-11-01T00:00:00+00:00", "meter": "requests", "unit": "requests", "quantity": "4", "amount": "1.00", "currency": "EUR",
            }
        ]  # fmt: skip
        (unknown,) = invoiced.tollbook("invoice", command, *lake, "--json").json["unbilled"]
        assert (unknown["kind"], unknown["quantity"], unknown["amount"]) == ("unknown", "4", None)
    shown = invoiced.tollbook("invoice", "verify", *lake, *catalog).out
    assert "1.00 EUR" in shown
    assert "month not issued" in shown
    words = ["--period", "2026-10", "--now", AFTER_OCTOBER]
    assert invoiced.tollbook("invoice", "issue", *lake, *catalog, *words).code == 0
    assert invoiced.tollbook("invoice", "verify", *lake).code == 0, "its month was issued from a close of its own"


@pytest.mark.slow
def test_late_usage_is_seen_and_damage_wins(invoiced: Here) -> None:
    """A partner that is billed too little is one thing, an invoice that was changed another: the first never hides
    the second.
    """
    assert invoiced.run(invoiced.log("late.log", *requests(3, T0_MS + 2 * DAY_MS))).code == 0
    done = invoiced.tollbook("invoice", "verify", "--lake", invoiced.lake, "--json")
    (late,) = done.json["unbilled"]
    assert (done.code, done.json["ok"]) == (3, True)
    assert (late["kind"], late["number"], late["quantity"], late["amount"]) == ("late", "S-2026-000001", "3", "0.75")
    [csv] = Path(invoiced.lake / "documents").glob("*.csv")
    csv.write_text("changed")
    done = invoiced.tollbook("invoice", "verify", "--lake", invoiced.lake, "--json")
    assert (done.code, done.json["ok"], len(done.json["unbilled"])) == (1, False, 1)
    assert len(done.complaints) == 1
