"""What an invoice says of quotas is what the alerts say: the same sums, the same rule, a row for each plan of the
month.
"""

import json
from typing import Any

import pytest

from tests.tollbook.fixtures import AFTER_OCTOBER, DAY_MS, PARTNERS, PRICES, T0_MS, Here, requests, write_catalog


def stated(here: Here) -> list[dict[str, Any]]:
    """Close and issue October; the quotas on the one invoice."""
    words = ["--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER]
    done = here.tollbook("invoice", "issue", *words)
    assert (done.code, done.err) == (0, "")
    [document] = (here.lake / "documents").glob("*.json")
    return list(json.loads(document.read_text())["quotas"])


def with_plans(here: Here, plans: str, *, limit: int = 4) -> None:
    """A second plan with a quota of 5 a month, and when the partner has which."""
    second = "  - {id: second, rate_card: card, quotas: [{meter: requests, period: MONTH, limit: 5}]}\n"
    write_catalog(
        here.catalog,
        partners=PARTNERS.replace("[{plan: small, valid_from: 2026-01-01}]", plans),
        prices=PRICES.replace("limit: 100", f"limit: {limit}") + second,
    )


@pytest.mark.slow
def test_a_plan_that_begins_within_the_month_counts_what_was_used_under_it(here: Here) -> None:
    """Two requests under one plan, four under the next: 4 of 5, as the alert rule counts, and not 6 of 5
    (warpdotdev/warp#7170).
    """
    with_plans(
        here,
        "[{plan: small, valid_from: 2026-01-01, valid_to: 2026-10-15}, {plan: second, valid_from: 2026-10-15}]",
    )
    done = here.run(here.log("a.log", *requests(2), *requests(4, T0_MS + 19 * DAY_MS)))
    assert (done.code, done.err) == (0, "")
    alerts = {(r["plan"], int(r["threshold_percent"]), r["used"]) for r in here.table("alerts") if r["kind"] == "quota"}
    assert alerts == {("small", 50, 2), ("second", 50, 4), ("second", 80, 4)}
    row = {"meter": "requests", "unit": "requests", "over": False}
    assert stated(here) == [
        {**row, "plan": "small", "first_day": "2026-10-01", "last_day": "2026-10-14", "used": "2", "limit": "4"},
        {**row, "plan": "second", "first_day": "2026-10-15", "last_day": "2026-10-31", "used": "4", "limit": "5"},
    ]


@pytest.mark.slow
def test_a_plan_that_is_taken_up_again_is_one_agreement(here: Here) -> None:
    """Twice two requests are four of its four: its quota is used up, and the alert at 100 percent was sent."""
    with_plans(
        here,
        "[{plan: small, valid_from: 2026-01-01, valid_to: 2026-10-10}, {plan: second, valid_from: 2026-10-10, valid_to: 2026-10-20}, "
        "{plan: small, valid_from: 2026-10-20}]",
    )
    here.run(here.log("a.log", *requests(2), *requests(1, T0_MS + 12 * DAY_MS), *requests(2, T0_MS + 25 * DAY_MS)))
    assert [(q["plan"], q["used"], q["over"]) for q in stated(here)] == [("small", "4", True), ("second", "1", False)]
    assert {(r["plan"], r["threshold_percent"]) for r in here.table("alerts")} == {
        ("small", 50),
        ("small", 80),
        ("small", 90),
        ("small", 100),
    }


def test_a_quota_of_which_nothing_was_used_is_stated(here: Here) -> None:
    """The partner sees what it has, also in a month without traffic: only a plan of another month is left out."""
    with_plans(
        here,
        "[{plan: small, valid_from: 2026-01-01, valid_to: 2026-11-01}, {plan: second, valid_from: 2026-11-01}]",
        limit=100,
    )
    fee = "        rates:\n          - {price: {model: flat, amount: 5}}\n"
    prices = (here.catalog / "prices.yaml").read_text().replace("        rates:\n", fee)
    write_catalog(here.catalog, partners=(here.catalog / "partners.yaml").read_text(), prices=prices)
    here.run(here.log("a.log", *requests(1, T0_MS + 32 * DAY_MS)))
    assert [(q["plan"], q["used"], q["limit"], q["over"]) for q in stated(here)] == [("small", "0", "100", False)]
