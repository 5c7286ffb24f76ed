"""`tollbook usage` and `tollbook invoice list`: a month's sums before its details, and which invoices there are."""

from decimal import Decimal
from typing import Any

import pytest

from tests.tollbook.fixtures import (
    AFTER_OCTOBER,
    DAY_MS,
    METERS,
    PARTNERS,
    PRICES,
    T0_MS,
    Here,
    requests,
    write_catalog,
)
from tollbook.month_sums import QuotaUse

QUOTAS = """
rate_cards:
  - id: card
    currency: EUR
    versions: [{valid_from: 2026-01-01, rates: [{meter: requests, price: {model: per_unit, unit_price: 0.25}}]}]
plans:
  - id: small
    rate_card: card
    quotas:
      - {meter: requests, period: MONTH, limit: 100}
      - {meter: requests, period: DAY, limit: 3000}
      - {meter: requests, period: WEEK, limit: 30}
  - {id: large, rate_card: card, quotas: [{meter: requests, period: MONTH, limit: 1000}]}
"""
CHANGED = """
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: small, valid_from: 2026-01-01, valid_to: 2026-10-16}, {plan: large, valid_from: 2026-10-16}]
    credentials: [{kind: consumer, id: c-acme}]
  - id: zeta
    name: Zeta Inc
    legal_entity: seller
    time_zone: Pacific/Auckland
    plans: [{plan: large, valid_from: 2026-01-01, valid_to: 2026-10-02}]
    credentials: [{kind: consumer, id: c-zeta}]
"""


@pytest.fixture
def month(here: Here) -> Here:
    """From 29 September (of the week of 1 October) to the 20th: 40 requests before, 50 on 1 October, 9 on the 16th,
    7 of them 429.
    """
    write_catalog(here.catalog, prices=QUOTAS, partners=CHANGED)
    here.log(
        "a.log",
        *requests(40, T0_MS - 2 * DAY_MS),
        *requests(50, T0_MS),
        *requests(7, T0_MS + DAY_MS, response={"status": 429, "size": 1, "headers": {}}),
        *requests(9, T0_MS + 15 * DAY_MS),
    )
    assert here.run(here.folder / "a.log").code == 0
    return here


def usage(here: Here, *words: str) -> Any:
    return here.tollbook(
        "usage", *words, "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--json"
    ).json


def test_the_sums_come_first_with_every_quota_of_the_month(month: Here) -> None:
    """One who asks what was used wants the figure of the invoice, and of the alert, before 31 days of routes."""
    (requests_,) = usage(month, "acme")["sums"]
    assert (requests_["partner_id"], requests_["meter"], requests_["unit"]) == ("acme", "requests", "requests")
    assert requests_["quantity"] == "59"
    quotas = [(q["plan"], q["quota_period"], q["used"], q["limit"], q["share_percent"]) for q in requests_["quotas"]]
    # What the plan `small` saw, which ended on the 15th; its fullest week began in September, and is counted whole.
    assert quotas == [
        ("small", "MONTH", "50", "100", "50.0"),
        ("small", "DAY", "50", "3000", "1.6"),
        ("small", "WEEK", "90", "30", "300.0"),
        ("large", "MONTH", "9", "1000", "0.9"),
    ]
    assert [q["period_start"][:10] for q in requests_["quotas"]] == [
        "2026-10-01",
        "2026-10-01",
        "2026-09-28",
        "2026-10-01",
    ]


def test_the_quotas_are_those_that_alerts_fire_on(month: Here) -> None:
    """Two ways to add up would be two answers to one question."""
    fired = {
        (a["plan"], a["quota_period"], a["period_start"].isoformat()[:10]): a["used"] for a in month.table("alerts")
    }
    (sums,) = usage(month, "acme")["sums"]
    shown = {(q["plan"], q["quota_period"], q["period_start"][:10]): q["used"] for q in sums["quotas"]}
    assert fired
    assert {key: str(int(used)) for key, used in fired.items()}.items() <= shown.items()


def test_without_a_partner_all_are_shown_and_no_days(month: Here) -> None:
    """Who used how much is the question of the month's end."""
    found = usage(month)
    assert [(each["partner_id"], each["quantity"]) for each in found["sums"]] == [("acme", "59"), ("zeta", "0")]
    assert found["by_day_and_route"] == []
    (quota,) = found["sums"][1]["quotas"]  # a plan of one day, by its own clock
    assert (quota["used"], quota["limit"], quota["period_start"]) == ("0", "1000", None)


def test_on_a_screen_sums_stand_above_days(month: Here) -> None:
    """And a quota that is reached is told by its share."""
    words = ["--catalog", month.catalog, "--lake", month.lake, "--period", "2026-10"]
    ended = month.tollbook("usage", "acme", *words)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].rstrip() == "Acme Inc, 2026-10: sums of the month"
    assert lines[1].split() == ["partner", "meter", "used", "of", "quota", "quota", "share", "in", "plan"]
    assert lines[2].split() == ["acme", "requests", "59", "50", "100", "50.0", "%", "month", "small"]
    assert "300.0 %" in lines[4]
    assert "week 2026-W40" in lines[4]
    assert any(line.startswith("2026-10-01") for line in lines[6:])


@pytest.mark.parametrize(
    ("used", "share"), [("99999", "99.9"), ("100000", "100.0"), ("100001", "100.0"), ("0", "0.0"), ("1", "0.0")]
)
def test_a_share_says_100_only_when_the_quota_is_reached(used: str, share: str) -> None:
    """Rounded to the nearest tenth, 99,999 of 100,000 would be shown as reached, with no alert."""
    assert str(QuotaUse("p", "MONTH", None, Decimal(used), Decimal(100000)).share_percent) == share


def test_issued_invoices_are_listed(here: Here) -> None:
    """The number of an invoice was to be had only from the folder of documents."""
    write_catalog(here.catalog, meters=METERS, prices=PRICES, partners=PARTNERS)
    listed = ("invoice", "list", "--lake", here.lake, "--now", AFTER_OCTOBER)
    here.log("a.log", *requests(50))
    assert here.run(here.folder / "a.log").code == 0
    assert here.tollbook(*listed).out == "No invoice was issued.\n"
    assert here.tollbook(*listed, "--json").json == []
    assert here.close().code == 0
    issue = ("invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER)
    assert here.tollbook(*issue).code == 0
    shown = here.tollbook(*listed)
    assert shown.err == ""
    assert [line.split() for line in shown.out.splitlines()] == [
        ["number", "partner", "period", "total", "currency", "issued", "on", "due", "on", "state", "open"],
        ["S-2026-000001", "acme", "2026-10", "12.50", "EUR", "2026-11-05", "2026-12-05", "issued", "12.50"],
    ]
    row = {
        "number": "S-2026-000001", "kind": "invoice", "partner_id": "acme", "legal_entity": "seller", "period": "2026-10",
        "total": "12.50", "currency": "EUR", "issued_on": "2026-11-05", "due_on": "2026-12-05", "state": "issued",
        "credited": "0.00", "paid": "0.00", "open": "12.50", "overdue": False,
    }  # fmt: skip
    for words, rows in (
        ([], [row]),
        (["--period", "2026-10"], [row]),
        (["--partner", "acme"], [row]),
        (["--period", "2026-09"], []),
        (["--partner", "zeta"], []),
    ):
        assert here.tollbook(*listed, *words, "--json").json == rows, words
    assert here.tollbook(*listed, "--period", "2026-13").code == 2
    assert (
        "No invoice was issued for 2026-09 to acme."
        in here.tollbook(*listed, "--period", "2026-09", "--partner", "acme").out
    )
