"""Alerts on budgets, from the log to the ledger: what on-call reads is what `invoice rate` says."""

from datetime import datetime
from typing import Any

import pytest

from tests.tollbook.fixtures import DAY_MS, MINUTE_MS, PARTNERS, PRICES, T0_MS, Here, requests, write_catalog
from tests.tollbook.test_alerting import at

BUDGET = PARTNERS + "    budget: {amount: 20, thresholds: [50, 100]}\n"


def told(here: Here, *lines: bytes) -> list[dict[str, Any]]:
    """Run with one more log, and what was stated about budgets."""
    name = f"{len(list(here.folder.glob('*.log')))}.log"
    done = here.tollbook(*here.run_words(here.log(name, *lines)), "--json")
    assert (done.code, done.err) == (0, "")
    return [a for a in done.json["alerts"] if "budget" in a["key"]]


def rated(here: Here) -> str:
    done = here.tollbook("invoice", "rate", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--json")  # fmt: skip
    return str(done.json["drafts"][0]["total"])


def kinds(alerts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(a["kind"], a["key"]["threshold_percent"]) for a in alerts]


def test_an_alert_says_amount_budget_and_the_lines_that_cost_most(here: Here) -> None:
    """50 requests at 0.25 are 12.50 of 20.00; the 40th of them cost the tenth euro."""
    write_catalog(here.catalog, partners=BUDGET)
    [alert] = told(here, *requests(50))
    assert kinds([alert]) == [("budget", "50")]
    assert alert["key"] == {"period": "2026-10", "threshold_percent": "50", "budget": "20", "currency": "EUR"}
    assert alert["evidence"] == {
        "amount": "12.50",
        "budget": "20",
        "currency": "EUR",
        "passed": False,
        "top_lines": [{"meter": "requests", "description": "requests", "quantity": "50", "amount": "12.50"}],
    }
    assert alert["evidence"]["amount"] == rated(here)
    assert alert["at"] == at(T0_MS + 45 * MINUTE_MS).isoformat()  # the window of the 40th request ends
    assert datetime.fromisoformat(alert["ends_at"]) == datetime.fromisoformat("2026-11-01T00:00:00+00:00")
    assert told(here, *requests(10, T0_MS + DAY_MS)) == []


def test_both_sides_of_a_threshold(here: Here) -> None:
    """9.75 is below one half of 20, 10.00 is one half of it."""
    write_catalog(here.catalog, partners=BUDGET)
    assert told(here, *requests(39)) == []
    assert kinds(told(here, *requests(1, T0_MS + DAY_MS))) == [("budget", "50")]
    assert kinds(told(here, *requests(40, T0_MS + 2 * DAY_MS))) == [("budget", "100")]


def test_a_fee_counts_from_the_start_of_a_month_with_usage(here: Here) -> None:
    fee = PRICES.replace("rates:\n", "rates:\n          - {description: Base, price: {model: flat, amount: 15}}\n")
    write_catalog(here.catalog, partners=BUDGET, prices=fee)
    [alert] = told(here, *requests(1, T0_MS + DAY_MS))
    assert (alert["at"], alert["evidence"]["amount"]) == (at(T0_MS).isoformat(), "15.25")
    assert alert["evidence"]["top_lines"][0] == {
        "meter": None, "description": "Base", "quantity": "1", "amount": "15.00",
    }  # fmt: skip
    assert rated(here) == "15.25"


@pytest.mark.slow
def test_a_lower_price_withdraws_and_a_higher_one_tells_again(here: Here) -> None:
    """A correction of the catalog moves the amount; nothing is deleted."""
    write_catalog(here.catalog, partners=BUDGET)
    assert kinds(told(here, *requests(50))) == [("budget", "50")]
    write_catalog(here.catalog, partners=BUDGET, prices=PRICES.replace("0.25", "0.10"))
    [gone] = told(here)
    assert (gone["kind"], gone["evidence"]["amount"]) == ("withdrawn", "5.00")
    write_catalog(here.catalog, partners=BUDGET, prices=PRICES.replace("0.25", "0.40"))
    assert kinds(told(here)) == [("restated", "50"), ("budget", "100")]


@pytest.mark.slow
def test_a_higher_budget_withdraws_what_it_does_not_keep(here: Here) -> None:
    write_catalog(here.catalog, partners=BUDGET)
    assert kinds(told(here, *requests(80))) == [("budget", "50"), ("budget", "100")]
    write_catalog(here.catalog, partners=BUDGET.replace("amount: 20", "amount: 30"))
    assert [(a["kind"], a["key"]["threshold_percent"], a["key"]["budget"]) for a in told(here)] == [
        ("budget", "50", "30"),
        ("withdrawn", "100", "20"),
    ]


@pytest.mark.slow
def test_an_issued_month_is_not_examined_again(here: Here) -> None:
    """Late usage after the issue is in no invoice, so no budget of that month is spent by it."""
    write_catalog(here.catalog, partners=BUDGET)
    assert kinds(told(here, *requests(50))) == [("budget", "50")]
    assert here.close().code == 0
    issued = here.tollbook("invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", "2026-11-05T00:00:00Z")  # fmt: skip
    assert issued.code == 0
    assert told(here, *requests(100, T0_MS + DAY_MS)) == []
    [november] = told(here, *requests(40, T0_MS + 31 * DAY_MS))
    assert november["key"]["period"] == "2026-11"


@pytest.mark.slow
def test_a_month_alerts_while_the_one_before_waits_to_be_issued(here: Here) -> None:
    """`invoice rate` refuses the later month until then. A flood does not wait."""
    write_catalog(here.catalog, partners=BUDGET)
    assert told(here, *requests(1)) == []
    assert kinds(told(here, *requests(40, T0_MS + 31 * DAY_MS))) == [("budget", "50")]


def test_partners_without_a_budget_are_not_rated(here: Here) -> None:
    assert told(here, *requests(99)) == []


@pytest.mark.slow
def test_the_terms_of_a_contract_count(here: Here) -> None:
    """84 requests are 21.00, less 10.50 off and 0.50 of credit: one half of 20."""
    terms = (
        "    discounts: [{percent: 50, valid_from: 2026-10-01}]\n"
        "    credits: [{id: welcome, amount: 0.50, currency: EUR, valid_from: 2026-10-01}]\n"
    )
    write_catalog(here.catalog, partners=BUDGET + terms)
    assert told(here, *requests(83)) == []
    [alert] = told(here, *requests(1, T0_MS + 85 * MINUTE_MS))
    assert (alert["evidence"]["amount"], alert["at"]) == ("10.00", at(T0_MS + 90 * MINUTE_MS).isoformat())
    assert rated(here) == "10.00"
