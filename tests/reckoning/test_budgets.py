"""Budgets against the reckoning: the amount of a running month is that of its invoice, to the last unit.

A threshold is crossed where the reckoning crosses it.
"""

import copy
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from billing.rating import bills
from schemas.catalog.records import Catalog
from schemas.windows import WINDOW_US, from_us, to_us
from tests.long import LONG
from tests.reckoning.agreed import Document
from tests.reckoning.balance import Run, issue
from tests.reckoning.histories import history
from tests.reckoning.reckoning import DAY_US, PLACES, Event, Outcome, Settled, month_bounds, reckon
from tests.reckoning.test_bills import Memory
from tests.reckoning.test_lake import _issue, _land
from tests.tollbook.fixtures import Here

pytestmark = pytest.mark.integration

SEEDS = 2000 if LONG else 60
LAKES = 100 if LONG else 3
AMOUNT = "10"
LEVELS = {"1": Decimal("0.1"), "50": Decimal(5), "100": Decimal(10)}  # threshold in percent → amount
THRESHOLDS = tuple(LEVELS)


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_the_amount_of_a_month_is_that_of_its_invoice(first: int) -> None:
    """Asked for all months at once, with and without earlier months that wait to be issued."""
    for seed in range(first, first + 20):
        made, settled, documents = history(seed, contracts=False), list[Settled](), list[Document]()
        labels = sorted({run.label for run in made.runs})
        for run in made.runs:
            catalog = Catalog.model_validate(run.catalog)
            ends: dict[str, datetime] = {}
            for period in settled:
                ends[period.partner] = max(from_us(period.end_us), ends.get(period.partner, from_us(period.end_us)))
            asked = [(partner, label) for partner in catalog.payers() for label in labels]
            amounts = bills.running(catalog, asked, Memory(run.catalog, made), ends)
            for partner_id, outcome in reckon(run.catalog, run.label, made.events, settled).items():
                if outcome.settled:
                    draft = amounts[partner_id, run.label]
                    total = None if draft is None else (draft.currency, draft.total)
                    assert total == _total(outcome), (seed, run.label, partner_id)
            issue(run, made.events, settled, documents)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("seed", range(LAKES))
def test_alerts_on_budgets_are_those_of_the_reckoning(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """Over months that are landed and issued, from catalogs that change between."""
    here, made = Here(tmp_path, capsys), history(seed, small=True, contracts=False)
    events = [event._replace(at_us=event.at_us // 1000 * 1000) for event in made.events]
    settled: list[Settled] = []
    documents: list[Document] = []
    crossed = 0
    landed: set[int] = set()
    now = from_us(0)
    for file in here.catalog.iterdir():
        file.unlink()
    for n, run in enumerate(made.runs):
        catalog = with_budgets(run.catalog)
        (here.catalog / "catalog.yaml").write_text(yaml.safe_dump(catalog))
        over_us = max(month_bounds(partner["time_zone"], run.label)[1] for partner in catalog["partners"])
        _land(here, n, run, events, landed, over_us + 2 * DAY_US)
        until = [event for i, event in enumerate(events) if i in landed]
        told = holding(here, run.label)
        for partner, outcome in reckon(run.catalog, run.label, until, settled).items():
            if outcome.settled:
                times = told.get(partner, {})
                assert set(times) == set(expected(outcome, until)), (seed, run.label, partner)
                for threshold, at in times.items():
                    crossed += 1
                    assert crosses(run, until, settled, outcome.settled, threshold, to_us(at)), (seed, threshold, at)
                rated = _total(outcome)
                assert amounts(here, run.label).get(partner) == (rated and str(rated[1]))
        now = max(now + timedelta(hours=1), from_us(over_us + 3 * DAY_US))
        for problem in _issue(here, run, issue(run, events, settled, documents), now):
            pytest.fail(problem)
    assert crossed, "a history without alerts shows nothing"


def with_budgets(catalog: dict[str, Any]) -> dict[str, Any]:
    budgeted = copy.deepcopy(catalog)
    for partner in budgeted["partners"]:
        if partner.get("status") != "internal":
            partner["budget"] = {"amount": AMOUNT, "thresholds": list(THRESHOLDS)}
    return budgeted


def expected(outcome: Outcome, events: list[Event]) -> Iterable[str]:
    """The thresholds that the bill of a month with usage reaches."""
    total, period = _total(outcome), outcome.settled
    assert period is not None
    if total and any(event.partner == period.partner and period.start_us <= event.at_us < period.end_us for event in events):  # fmt: skip
        for threshold in THRESHOLDS:
            if total[1] >= LEVELS[threshold]:
                yield threshold


def crosses(run: Run, events: list[Event], settled: list[Settled], period: Settled, threshold: str, at_us: int) -> bool:
    """Whether usage before an instant reaches a threshold, and usage before the window that ends there does not."""

    def reached(until_us: int) -> bool:
        before = [event for event in events if event.at_us < max(until_us, period.start_us)]
        total = _total(reckon(run.catalog, run.label, before, settled)[period.partner])
        return total is not None and total[1] >= LEVELS[threshold]

    return reached(at_us) and (at_us == period.start_us or not reached(at_us - WINDOW_US))


def holding(here: Here, label: str) -> dict[str, dict[str, datetime]]:
    """Partner → threshold → time of the alerts of a month that hold, by the newest row of each."""
    newest: dict[str, dict[str, Any]] = {}
    for row in here.table("alerts", "FROM t ORDER BY number"):
        if "budget" in json.loads(row["key"]):
            newest[row["withdraws"] or row["restates"] or row["alert_id"]] = row
    found: dict[str, dict[str, datetime]] = {}
    for row in newest.values():
        key = json.loads(row["key"])
        if row["kind"] != "withdrawn" and key["period"] == label:
            found.setdefault(row["subject"], {})[key["threshold_percent"]] = row["began_at"]
    return found


def amounts(here: Here, label: str) -> dict[str, str]:
    """What `invoice rate` says that each partner owes."""
    done = here.tollbook("invoice", "rate", "--catalog", here.catalog, "--lake", here.lake, "--period", label, "--json")
    return {draft["partner_id"]: draft["total"] for draft in done.json["drafts"]}


def _total(outcome: Outcome) -> tuple[str, Decimal] | None:
    bill = outcome.bill
    return bill and (bill.currency, Decimal(bill.total).scaleb(-PLACES[bill.currency]))
